"""What can be measured of how a page looks, in the browser that drew it."""

from __future__ import annotations

from typing import Any

from tests.browser import chromium

# Relative luminance and contrast as WCAG 2.2 defines them; backgrounds are looked for outwards.
_COLOURS = """
const parse = (text) => {
  const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
  return { rgb: [r, g, b], a };
};
const luminance = ({ rgb }) => {
  const [r, g, b] = rgb.map((v) => v / 255).map(
    (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const found = parse(getComputedStyle(at).backgroundColor);
    if (found.a === 1) return found;
    if (found.a !== 0) throw new Error(`half transparent behind ${at.outerHTML.slice(0, 80)}`);
  }
  return { rgb: [255, 255, 255], a: 1 };
};
const visible = (element) => element.checkVisibility() && element.getClientRects().length > 0;
"""


def paper(page: chromium.Page) -> float:
    """The luminance of what is behind everything, 0 to 1."""
    return float(page.run(_COLOURS + "return luminance(behind(document.body))"))


def contrasts(page: chromium.Page) -> list[dict[str, Any]]:
    """For each element with text of its own: `text`, `ratio`, and the `least` that AA wants."""
    script = """
    return [...document.querySelectorAll("body *")].filter((element) => visible(element)
        && [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
      .map((element) => {
        const style = getComputedStyle(element);
        const [front, back] = [luminance(parse(style.color)), luminance(behind(element))];
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
        return { text: element.textContent.trim().slice(0, 40), ratio, least: large ? 3 : 4.5 };
      });
    """
    return list(page.run(_COLOURS + script))


def overflowing(page: chromium.Page) -> list[str]:
    """What reaches out of the window to the right, but for what scrolls in a box of its own."""
    script = """
    const scrolls = (element) => {
      for (let at = element.parentElement; at; at = at.parentElement) {
        if (["auto", "scroll", "hidden"].includes(getComputedStyle(at).overflowX)) return true;
      }
      return false;
    };
    return [...document.querySelectorAll("body *")]
      .filter((e) => visible(e) && !scrolls(e))
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
      .map((e) => e.outerHTML.slice(0, 120));
    """
    return list(page.run(_COLOURS + script))
