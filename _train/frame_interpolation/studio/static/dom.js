// Small helpers for the document.

export const $ = (id) => document.getElementById(id);

// An element with properties (attributes where the name has a "-" or is a role) and children.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Follow the pointer after a press: `move` gets its events, `end` the last one, "pointerup" or "pointercancel".
export function follow(event, element, move, end) {
  event.preventDefault();
  element.setPointerCapture(event.pointerId);
  const released = new AbortController();
  const { signal } = released;
  const finish = (last) => { released.abort(); end(last); };
  element.addEventListener("pointermove", move, { signal });
  element.addEventListener("pointerup", finish, { signal });
  element.addEventListener("pointercancel", finish, { signal });
}

// Show a sentence, or hide the element when there is none.
export function say(element, sentence) {
  element.hidden = !sentence;
  if (element.textContent !== sentence) element.textContent = sentence;
}
