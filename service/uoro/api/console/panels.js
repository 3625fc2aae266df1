// Parts of a stream's page that are lists of bars and tiles.

import { h, say } from "./dom.js";
import { number, percent } from "./format.js";

/** Named shares as bars, largest first; `update` redraws in place. */
export function bars(label, most = 8) {
  const element = h("ul", { class: "bars", "aria-label": label });
  return {
    element,
    update(shares, rest = 0) {
      const sorted = Object.entries(shares).sort((a, b) => b[1] - a[1]);
      const shown = sorted.slice(0, most);
      const others = rest + sorted.slice(most).reduce((sum, [, share]) => sum + share, 0);
      if (others > 0.0005) shown.push(["others", others]);
      while (element.children.length > shown.length) element.lastChild.remove();
      while (element.children.length < shown.length) element.append(h("li", {}, h("span"), h("span", { class: "bar" }, h("i")), h("b")));
      shown.forEach(([name, share], i) => {
        const [text, bar, figure] = element.children[i].children;
        say(text, name);
        text.title = name;
        bar.firstChild.style.width = `${Math.max(0, Math.min(100, 100 * share))}%`;
        say(figure, percent(share));
      });
      if (!shown.length) element.append(h("li", { class: "muted" }, "none"));
    },
  };
}

/** Figures with their names. */
export function tiles(names) {
  const figures = Object.fromEntries(names.map(([name]) => [name, h("dd", {}, "–")]));
  const element = h("dl", { class: "tiles" }, names.map(([name, title]) => h("div", { title }, h("dt", {}, name), figures[name])));
  return { element, set: (name, text, kind = "") => { say(figures[name], text); figures[name].className = kind; } };
}

export function norms() {
  const element = h("dl", { class: "norms" });
  return {
    element,
    update(values) {
      const entries = Object.entries(values);
      element.replaceChildren(...(entries.length
        ? entries.flatMap(([name, norm]) => [h("dt", {}, name), h("dd", {}, number(norm))])
        : [h("dt", { class: "muted" }, "this learner keeps none")]));
    },
  };
}

export function panel(title, hint, ...children) {
  return h("section", { class: "panel" }, h("h2", {}, title), hint ? h("p", { class: "muted" }, hint) : null, children);
}
