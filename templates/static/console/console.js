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

// The filters are open where there is room for them.
function openFilters() {
  const filters = document.getElementById("filters");
  const wide = window.matchMedia("(min-width: 1025px)");
  if (filters && wide.matches) {
    filters.open = true;
  }
}

// The overview, or a maintenance under way, refreshes itself, except while its tab is hidden, and says
// how old it is, and why if that is too old.
function keepFresh() {
  const part = document.querySelector("[data-refresh]");
  if (!part || !document.getElementById("freshness")) {
    return;
  }
  let updated = Date.now();
  let tried = updated;
  let problem = "";

  function show() {
    const note = document.getElementById("freshness"); // it may be in what was replaced
    const [age, alert, login] = note.children;
    const seconds = Math.round((Date.now() - updated) / 1000);
    age.textContent = note.dataset.fresh.replace("%s", seconds);
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
    show();
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
      part.innerHTML = await response.text();
      localTimes(part);
      updated = Date.now();
      return "";
    } catch {
      return "stale";
    }
  }

  setInterval(() => {
    if (document.hidden) {
      return;
    }
    show();
    if (Date.now() - tried >= Number(part.dataset.every) * 1000) {
      refresh();
    }
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - tried >= Number(part.dataset.every) * 1000) {
      refresh();
    }
  });
}

localTimes(document);
keepFresh();
copyButtons(document);
selectAll();
openFilters();
