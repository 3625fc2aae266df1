// Elements from plain values. Strings only ever become text: nothing here, and nothing in the page, parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element; `attributes` starting with "on" are listeners, null and false leave an attribute out. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set text only where it changed, so that a refresh neither flickers nor loses a selection. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A message that goes away by itself; errors stay longer. */
export function note(text, kind = "info") {
  const element = h("div", { class: `note ${kind}` }, text, h("button", {
    type: "button", class: "quiet", "aria-label": "Dismiss", onclick: () => element.remove(),
  }, "×"));
  document.getElementById("notes").append(element);
  setTimeout(() => element.remove(), kind === "error" ? 12000 : 4000);
}

/** A modal dialog with a form; resolves to the form's values, or null if it was left. */
export function ask(title, text, fields, verb, kind = "") {
  const inputs = fields.map(({ name, label, value = "", pattern, hint, type = "text", match }) => {
    const input = h("input", { name, type, value, pattern, required: true, autocomplete: "off", spellcheck: "false" });
    if (match !== undefined) {
      input.addEventListener("input", () => input.setCustomValidity(input.value === match ? "" : "it does not match"));
      input.setCustomValidity("it does not match");
    }
    return h("label", {}, label, input, hint ? h("small", {}, hint) : null);
  });
  const form = h("form", { method: "dialog" },
    h("h2", {}, title), text ? h("p", {}, text) : null, inputs,
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel"),
      h("button", { type: "submit", class: kind || "primary" }, verb)));
  const dialog = h("dialog", { "aria-label": title }, form);
  return new Promise((resolve) => {
    let values = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      values = Object.fromEntries(new FormData(form));
      dialog.close();
    });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(values); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
