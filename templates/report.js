"use strict";
// Filters and sorts the mistakes. Without this script every mistake is in its group, and the form stays hidden.

const form = document.querySelector(".filter");
if (form) {
  const groups = [...document.querySelectorAll("#misclassified .pair")].map(readGroup);
  const tiles = groups.flatMap(group => [...group.list.children].map(tile => readTile(tile, group)));
  const flat = document.querySelector(".flat");
  const rarer = document.querySelector(".rarer");
  const orders = {
    loss: (a, b) => a.rank - b.rank,
    confidence: (a, b) => b.confidence - a.confidence || a.rank - b.rank,
    index: (a, b) => a.index - b.index,
  };

  fill(form.elements.true, groups.map(group => group.true));
  fill(form.elements.predicted, groups.map(group => group.predicted));
  form.addEventListener("input", show);
  form.addEventListener("submit", event => event.preventDefault());
  form.elements.clear.addEventListener("click", clear);
  addEventListener("hashchange", reveal);
  form.hidden = false;
  reveal();

  function readGroup(element) {
    const list = element.querySelector(".tiles");
    const [, trueClass, predicted] = list.id.split("-");
    const [trueName, predictedName] = [...element.querySelectorAll("bdi")].map(name => name.textContent);
    return {
      element, list, opened: element.open, label: `${trueName} → ${predictedName}`,
      true: {key: trueClass, name: trueName}, predicted: {key: predicted, name: predictedName},
    };
  }

  // The sheet is in the order of the loss, so the place on it is the rank.
  function readTile(element, group) {
    const [, x, y] = element.className.match(/x(\d+) y(\d+)/).map(Number);
    const [summary] = element.children;
    const [, confidence] = summary.textContent.match(/([\d.]+)\s%/) ?? [0, 0];
    summary.dataset.pair = group.label;
    return {
      element, group, rank: y * 1e4 + x, index: Number(element.id.slice(1)), confidence: Number(confidence),
      file: element.querySelector("bdi")?.textContent.toLowerCase() ?? "",
    };
  }

  function fill(select, classes) {
    const names = new Map(classes.map(({key, name}) => [key, name]));
    const keys = [...names.keys()].sort((a, b) => a - b);
    select.append(...keys.map(key => new Option(names.get(key), key)));
  }

  function show() {
    const {true: trueClass, predicted, text, order} = form.elements;
    const words = text.value.trim().toLowerCase().replace(/^#/, "");
    const filtered = trueClass.value || predicted.value || words;
    const matching = tiles.filter(tile =>
      (!trueClass.value || tile.group.true.key === trueClass.value) &&
      (!predicted.value || tile.group.predicted.key === predicted.value) &&
      (!words || String(tile.index).startsWith(words) || tile.file.includes(words)));
    const sorted = order.value in orders;
    matching.sort(orders[sorted ? order.value : "loss"]);
    const homes = Map.groupBy(matching, tile => tile.group);
    for (const group of groups) {
      group.element.hidden = sorted || !homes.has(group);
      group.element.open = filtered ? true : group.opened;
      group.list.replaceChildren(...(sorted ? [] : (homes.get(group) ?? []).map(tile => tile.element)));
    }
    flat.replaceChildren(...(sorted ? matching.map(tile => tile.element) : []));
    if (rarer) {
      rarer.hidden = sorted;
      rarer.open = Boolean(filtered);
    }
    const [some, all] = [matching.length, tiles.length].map(count => count.toLocaleString("en"));
    form.elements.shown.value = some === all ? `All ${all} mistakes` : `${some} of ${all} mistakes`;
  }

  function clear() {
    form.reset();
    show();
  }

  // Shows the mistake or group that a link leads to, if a filter hides it or it is folded.
  function reveal() {
    const id = location.hash.slice(1);
    const find = () => document.getElementById(id);
    if (/^(pair|i)[-\d]+$/.test(id) && (!find() || find().closest("[hidden]"))) clear();
    const target = find();
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target?.scrollIntoView();
  }
}
{% include "contents.js" %}
{% include "tables.js" %}
