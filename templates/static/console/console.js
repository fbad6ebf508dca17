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

// The overview, or a maintenance under way, refreshes itself, except while its tab is hidden, and says how old it is.
function keepFresh() {
  const part = document.querySelector("[data-refresh]");
  const note = document.getElementById("freshness");
  if (!part || !note) {
    return;
  }
  const every = Number(part.dataset.every) * 1000;
  let updated = Date.now();
  let tried = updated;
  let failed = false;
  note.hidden = false;

  async function refresh() {
    tried = Date.now();
    try {
      const response = await fetch(part.dataset.refresh, { credentials: "same-origin" });
      if (!response.ok || response.redirected) {
        throw new Error(response.statusText);
      }
      part.innerHTML = await response.text();
      localTimes(part);
      updated = Date.now();
      failed = false;
    } catch {
      failed = true;
    }
  }

  setInterval(() => {
    if (document.hidden) {
      return;
    }
    const seconds = Math.round((Date.now() - updated) / 1000);
    note.textContent = (failed ? note.dataset.stale : note.dataset.fresh).replace("%s", seconds);
    if (Date.now() - tried >= every) {
      refresh();
    }
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - tried >= every) {
      refresh();
    }
  });
}

localTimes(document);
keepFresh();
copyButtons(document);
selectAll();
openFilters();
