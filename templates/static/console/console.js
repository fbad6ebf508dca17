// For convenience only: every page works without this file.
"use strict";

// Times in the viewer's zone; UTC stays on hover.
function localTimes(root) {
  const two = (number) => String(number).padStart(2, "0");
  for (const time of root.querySelectorAll("time.moment")) {
    const at = new Date(time.dateTime);
    time.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
      `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }
}

// Buttons that copy.
function copyButtons(root) {
  if (!navigator.clipboard) {
    return;
  }
  for (const button of root.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const label = button.textContent;
      button.textContent = "✓";
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }
}

// One box that selects all rows of the page.
function selectAll() {
  const toggle = document.getElementById("select-all");
  const boxes = document.querySelectorAll("input.row-select");
  if (!toggle || !boxes.length) {
    return;
  }
  toggle.hidden = false;
  toggle.addEventListener("change", () => {
    for (const box of boxes) {
      box.checked = toggle.checked;
    }
  });
}

// The filters are open where they have a place of their own, and where they were left open.
function openFilters() {
  const filters = document.getElementById("filters");
  if (!filters) {
    return;
  }
  const matches = (query) => window.matchMedia(query).matches;
  const wasOpen = sessionStorage.getItem("filters") === "open" && matches("(min-width: 768px)");
  filters.open ||= wasOpen || matches("(min-width: 1600px)");
  filters.querySelector("summary").addEventListener("click", () => { // before it opens or closes
    sessionStorage.setItem("filters", filters.open ? "" : "open");
  });
  filters.addEventListener("toggle", () => loadFilters(filters));
  loadFilters(filters);
}

// Counting takes the longest, so it is done when the filters are opened; there is a link to them
// until they have come, and if they do not.
async function loadFilters(filters) {
  const { src } = filters.dataset;
  if (!filters.open || !src) {
    return;
  }
  delete filters.dataset.src;
  filters.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(src, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const loaded = page.querySelector("#filters .filter-columns");
    if (response.ok && !response.redirected && loaded) {
      filters.querySelector(".filter-columns").replaceWith(loaded);
    }
  } catch {
    // the link is still there
  } finally {
    filters.removeAttribute("aria-busy");
  }
}

// Menus close by Escape, and by a click elsewhere.
function closeMenus() {
  const open = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of open()) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
  });
  document.addEventListener("click", (event) => {
    for (const menu of open()) {
      menu.open = menu.contains(event.target);
    }
  });
}

// What was done is told in a corner, and for a while; what has a link, or must be copied, stays.
function toasts() {
  const done = document.querySelectorAll(".messagelist li.success");
  const said = [...done].filter((message) => !message.children.length);
  if (!said.length) {
    return;
  }
  const corner = document.createElement("div");
  corner.id = "toasts";
  corner.setAttribute("role", "status");
  document.querySelector("main").append(corner);
  for (const message of said) {
    const toast = document.createElement("div");
    const close = document.createElement("button");
    toast.className = "toast";
    close.type = "button";
    close.textContent = "✖";
    close.ariaLabel = document.getElementById("keys")?.dataset.close ?? "";
    close.addEventListener("click", () => toast.remove());
    toast.append(message.textContent, close);
    corner.append(toast);
    message.remove();
    setTimeout(function leave() {
      if (toast.matches(":hover, :focus-within")) {
        setTimeout(leave, 2000);
      } else {
        toast.remove();
      }
    }, 10000);
  }
  for (const list of document.querySelectorAll(".messagelist:empty")) {
    list.remove();
  }
}

// Keys: / searches, j and k go through the rows, x selects one, ? lists the keys.
function keys() {
  const list = document.getElementById("keys");
  const button = document.getElementById("show-keys");
  if (!list || !button) {
    return;
  }
  const isOn = document.getElementById("keys-on");
  isOn.checked = localStorage.getItem("keys") !== "off";
  isOn.addEventListener("change", () => {
    localStorage.setItem("keys", isOn.checked ? "on" : "off");
  });
  button.hidden = false;
  button.addEventListener("click", () => list.showModal());

  const current = () => document.querySelector("tr.current");
  function go(step) {
    const rows = [...document.querySelectorAll(".across-cells tbody tr, #result_list tbody tr")];
    const row = current() ? rows[rows.indexOf(current()) + step] : rows[0];
    if (row) {
      current()?.classList.remove("current");
      row.classList.add("current");
      row.scrollIntoView({ block: "nearest" });
      row.querySelector("th a")?.focus({ preventScroll: true });
    }
  }

  const does = {
    "/": () => document.querySelector(
      document.getElementById("searchbar") ? "#searchbar" : "#console-search input").focus(),
    "?": () => list.showModal(),
    j: () => go(1),
    k: () => go(-1),
    x: () => current()?.querySelector("input[type=checkbox]")?.click(),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=checkbox], [type=radio]), textarea, select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || list.open || !isOn.checked) {
      return;
    }
    if (Object.hasOwn(does, event.key)) {
      event.preventDefault();
      does[event.key]();
    }
  });
}

// The overview, or a maintenance under way, refreshes itself, except while its tab is hidden, and says
// how old it is, and why if that is too old.  A list does so if its box is ticked, which is remembered,
// and while no rows are selected.
function keepFresh() {
  const part = document.querySelector("[data-refresh]");
  if (!part || !document.getElementById("freshness")) {
    return;
  }
  const optIn = part.dataset.optIn && document.getElementById(part.dataset.optIn);
  if (optIn) {
    optIn.checked = localStorage.getItem(optIn.id) === "on";
    optIn.closest("label").hidden = false;
    optIn.addEventListener("change", () => {
      localStorage.setItem(optIn.id, optIn.checked ? "on" : "off");
      document.getElementById("freshness").hidden = true;
    });
  }
  const isOff = () => document.hidden || (optIn && !optIn.checked);
  const isPaused = () => isOff() || (optIn && document.querySelector("input.row-select:checked"));
  let updated = Date.now();
  let tried = updated;
  let problem = "";

  function show() {
    const note = document.getElementById("freshness"); // it may be in what was replaced
    const [age, alert, login] = note.children;
    const seconds = Math.round((Date.now() - updated) / 1000);
    age.textContent = isPaused() ? note.dataset.paused : note.dataset.fresh.replace("%s", seconds);
    const text = problem && note.dataset[problem];
    if (alert.textContent !== text) { // so that it is read out once
      alert.textContent = text;
    }
    login.hidden = problem !== "expired";
    note.hidden = false;
  }

  async function refresh() {
    tried = Date.now();
    problem = await fetchPart();
    if (document.getElementById("freshness")) {
      show();
    }
  }

  // The part alone, or a whole page that has it.
  function replace(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const row = part.querySelector("tr.current input.row-select")?.value;
    const hasFocus = part.contains(document.activeElement);
    part.replaceChildren(...(page.getElementById(part.id) ?? page.body).childNodes);
    localTimes(part);
    copyButtons(part);
    selectAll();
    for (const box of row ? part.querySelectorAll("input.row-select") : []) {
      if (box.value === row) {
        box.closest("tr").classList.add("current");
        if (hasFocus) {
          box.closest("tr").querySelector("th a").focus({ preventScroll: true });
        }
      }
    }
  }

  // What is the matter, if anything.
  async function fetchPart() {
    try {
      const response = await fetch(part.dataset.refresh, { credentials: "same-origin" });
      if (response.redirected) {
        return "expired";
      }
      if (!response.ok) {
        return "stale";
      }
      const text = await response.text();
      if (isPaused()) { // a row was selected in the meantime
        return "";
      }
      replace(text);
      updated = Date.now();
      return "";
    } catch {
      return "stale";
    }
  }

  setInterval(() => {
    if (isOff() || !document.getElementById("freshness")) { // what was under way has ended
      return;
    }
    show();
    if (!isPaused() && Date.now() - tried >= Number(part.dataset.every) * 1000) {
      refresh();
    }
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!isPaused() && Date.now() - tried >= Number(part.dataset.every) * 1000) {
      refresh();
    }
  });
}

localTimes(document);
keepFresh();
copyButtons(document);
selectAll();
openFilters();
closeMenus();
toasts();
keys();
