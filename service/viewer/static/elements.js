// Elements of the page: those that are there, and new ones.
export const element = (id) => document.getElementById(id);

// With properties, attributes where a property would not do (aria-*, scope), and children.
export function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Only where it differs: what is set anew is read out anew, and loses its selection.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
