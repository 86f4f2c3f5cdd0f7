// Keys act on the slide wherever the focus is, except where they are text, and where arrows move a slider.
const OWN_ARROWS = "input[type=range], select";
const TEXT = "input[type=text], input[type=number], input[type=password], select";

export function listenToKeys(actions, { isReady, peek }) {
  document.addEventListener("keydown", (event) => {
    if (!isReady() || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.matches(TEXT) || (event.key.startsWith("Arrow") && event.target.matches(OWN_ARROWS))) return;
    if (event.key === " " && !event.target.matches("button, summary, input, a")) {
      event.preventDefault();
      peek(true);
      return;
    }
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  document.addEventListener("keyup", (event) => { if (event.key === " ") peek(false); });
  window.addEventListener("blur", () => peek(false));
}
