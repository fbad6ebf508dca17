// Send the form below a list of the browsable API, and show the answer.
"use strict";

const form = document.getElementById("put-form");

function bodyOf(fields) {
  const body = {};
  for (const field of fields) {
    if (field.name !== "id" && field.value !== "") {
      body[field.name] = field.dataset.kind === "boolean" ? field.value === "true" : field.value;
    }
  }
  return body;
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = document.getElementById("put-answer");
  const fields = form.querySelectorAll("input[id], select");
  answer.textContent = "…";
  try {
    const response = await fetch(form.dataset.url + encodeURIComponent(form.elements.id.value), {
      method: "PUT",
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
        [form.dataset.header]: form.dataset.version,
      },
      body: JSON.stringify(bodyOf(fields)),
    });
    const text = await response.text();
    let shown = text;
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // not JSON: as it is
    }
    answer.textContent = `HTTP ${response.status} ${response.statusText}\n\n${shown}`;
  } catch (error) {
    answer.textContent = String(error);
  }
});
