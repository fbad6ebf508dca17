// Comfort only: every page works without this file.
"use strict";

// Times in the viewer's zone; UTC stays on hover.
function localTimes(root) {
  for (const time of root.querySelectorAll("time.moment")) {
    const when = new Date(time.dateTime);
    time.textContent = when.toLocaleString(undefined, {
      year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit",
    });
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
  const toggle = document.getElementById("action-toggle");
  const boxes = document.querySelectorAll("input.action-select");
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

// The filters lie open where there is room for them.
function openFilters() {
  const filters = document.getElementById("filters");
  const wide = window.matchMedia("(min-width: 1025px)");
  if (filters && wide.matches) {
    filters.open = true;
  }
}

localTimes(document);
copyButtons(document);
selectAll();
openFilters();
