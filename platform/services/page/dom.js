// Elements from code: the page never parses strings as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. `on*` are listeners, null and false are left out, true is an empty attribute. */
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function s(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Give an element other children; what had the focus has it again where it is still there. */
export function refill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  element.replaceChildren(...children.flat(3).filter(Boolean));
  if (!focused) return;
  const same = [...element.querySelectorAll(focused.tagName)].find(
    (one) => one.id === focused.id && one.textContent === focused.textContent,
  );
  same?.focus({ preventScroll: true });
}

/** Say something to screen readers. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** A term with a dotted line: hover, focus or tap shows its explanation. */
export function term(text, explanation) {
  if (!explanation) return text;
  return h("button", { type: "button", class: "term", "data-explain": explanation }, text);
}

/** Show explanations of `term`s, one at a time, beside the term. */
export function installExplanations() {
  const box = document.getElementById("explain");
  const hide = () => {
    box.hidden = true;
  };
  const show = (event) => {
    const from = event.target.closest?.("[data-explain]");
    if (!from) return hide();
    box.textContent = from.dataset.explain;
    box.hidden = false;
    from.setAttribute("aria-describedby", "explain");
    const at = from.getBoundingClientRect();
    const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 8);
    const below = at.bottom + 6;
    const fits = below + box.offsetHeight < window.innerHeight;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${fits ? below : at.top - box.offsetHeight - 6}px`;
    return undefined;
  };
  for (const kind of ["mouseover", "focusin", "click"]) document.addEventListener(kind, show);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
}

/** Scroll an element into sight, clear of the bars. */
export function reveal(element) {
  element.scrollIntoView({ block: "nearest", inline: "nearest" });
}
