// Makes one tree of nodes equal another by changing as little as possible, so that scroll, focus,
// selection and what a person has opened stay. What has an id or a data-key is the same thing as
// before, wherever it stands; everything else is known by its place.

export function morph(old, fresh) {
  const selection = document.getSelection();
  const held = selection.isCollapsed ? [] : [selection.anchorNode, selection.focusNode];
  patch(old, fresh, held);
}

function patch(old, fresh, held) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    // Setting the text would move the selection's end that lies in it.
    if (old.data !== fresh.data && !held.includes(old)) old.data = fresh.data;
    return;
  }
  attributes(old, fresh);
  // What the scripts fill stays theirs: charts, readouts, buttons.
  if (!("own" in old.dataset)) children(old, fresh, held);
}

function attributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    const opened = name === "open" && old.nodeName === "DETAILS";
    if (!opened && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function children(old, fresh, held) {
  const known = new Map();
  for (const child of old.childNodes) if (key(child)) known.set(key(child), child);
  let at = old.firstChild;
  for (const wanted of fresh.childNodes) {
    const match = key(wanted) ? known.get(key(wanted)) : at && !key(at) ? at : null;
    if (!match || match.nodeName !== wanted.nodeName) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    patch(match, wanted, held);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function key(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || "" : "";
}
