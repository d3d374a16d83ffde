// Searching, sorting, keyboard control and the enlarged view of a page of faces. The page contains all images and can
// also be read without this script.
"use strict";
{
  const $ = (selector) => document.querySelector(selector);
  const cards = () => [...document.querySelectorAll(".card")];
  const shown = () => cards().filter((card) => card.offsetParent !== null);
  const search = $("#search"), order = $("#order"), count = $("#count");
  document.documentElement.classList.add("scripted");

  // Searching and sorting

  function find() {
    const wanted = search.value.toLowerCase();
    for (const card of cards()) card.hidden = !card.dataset.name.toLowerCase().includes(wanted);
    tell();
  }

  function tell() {
    if (count) count.textContent = `${shown().length} faces`;
  }

  const ORDERS = {
    most: (one, other) => other.dataset.years - one.dataset.years,
    least: (one, other) => one.dataset.years - other.dataset.years,
    name: (one, other) => one.dataset.name.localeCompare(other.dataset.name, undefined, { numeric: true }),
  };

  function sort() {
    for (const section of document.querySelectorAll(".faces"))
      section.append(...[...section.children].sort(ORDERS[order.value]));
  }

  search?.addEventListener("input", find);
  order?.addEventListener("change", sort);
  document.querySelectorAll("input[name=direction]").forEach((choice) => choice.addEventListener("change", tell));
  tell();

  // Enlarged view

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const title = make("span"), before = make("img"), after = make("img"), links = make("span");
  const over = make("div", { className: "over", tabIndex: -1, autofocus: true }, before, after);
  const slider = make("input", { type: "range", min: 0, max: 100, step: "any", ariaLabel: "from the translation to the photo" });
  const more = make("div"), folded = make("details", {}, make("summary", { textContent: "translated back" }), more);
  const button = (text, label, action) => make("button", { textContent: text, ariaLabel: label, onclick: action });
  const view = make("dialog", {},
    make("header", {}, title, button("×", "close", () => view.close())),
    over, slider,
    make("div", { className: "below" }, button("←", "previous face", () => step(-1)), links,
      button("→", "next face", () => step(1))),
    folded);
  let current = null;

  function open(card) {
    current = card;
    const images = [...card.querySelectorAll("img")];
    [before.src, after.src] = images.slice(0, 2).map((image) => image.src);
    [before.alt, after.alt] = images.slice(0, 2).map((image) => image.alt);
    title.textContent = card.querySelector("figcaption").innerText.replace("\n", " · ");
    links.replaceChildren(...images.flatMap((image) => [make("a", { href: image.src, textContent: image.dataset.label }), " "]));
    more.replaceChildren(...images.slice(2).map((image) => make("img", { src: image.src, alt: image.alt })));
    folded.hidden = images.length < 3;
    split(50);
    if (!view.isConnected) document.body.append(view);
    if (!view.open) view.showModal();
  }

  function step(places) {
    const all = shown();
    open(all[(all.indexOf(current) + places + all.length) % all.length]);
  }

  function split(percent) {
    slider.value = percent;
    over.style.setProperty("--split", `${percent}%`);
  }

  function follow(event) {
    const box = over.getBoundingClientRect();
    split(Math.max(0, Math.min(100, (100 * (event.clientX - box.left)) / box.width)));
  }

  slider.addEventListener("input", () => split(slider.value));
  over.addEventListener("pointermove", follow);
  over.addEventListener("pointerdown", follow);
  view.addEventListener("close", () => current?.querySelector("a").focus());
  view.addEventListener("click", (event) => event.target === view && view.close());
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".card a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link.closest(".card"));
  });

  // Keys

  function move(key) {
    const all = shown(), columns = all.filter((card) => card.offsetTop === all[0].offsetTop).length;
    const at = all.indexOf(document.activeElement.closest(".card"));
    const places = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    if (at < 0 && places !== 1) return false; // no face is selected yet, so the page scrolls as usual
    all[at + places]?.querySelector("a").focus();
    all[at + places]?.scrollIntoView({ block: "nearest" });
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input:not([type=radio], [type=checkbox]), select");
    const arrow = event.key.startsWith("Arrow");
    if (view.open) {
      if (event.target.matches("button, a, summary") && !arrow) return;
      if (event.key === " ") split(100);
      else if (event.target !== slider && ["ArrowLeft", "ArrowRight"].includes(event.key)) step(event.key === "ArrowLeft" ? -1 : 1);
      else return;
      event.preventDefault();
    } else if (typing) {
      if (event.key === "Escape") event.target.blur();
    } else if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    } else if (["1", "2"].includes(event.key)) document.querySelectorAll("input[name=direction]")[event.key - 1]?.click();
    else if (event.key === "r") $("#show-more")?.click();
    else if (arrow && !event.target.matches("input") && shown().length && move(event.key)) event.preventDefault();
  });
  document.addEventListener("keyup", (event) => view.open && event.key === " " && split(50));
}
