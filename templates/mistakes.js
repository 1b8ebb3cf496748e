// Filters, sorts and shows the mistakes. Without this script every mistake is in its group, and the form stays hidden.
// The address is the state: `stateOf` reads it, `addressOf` writes it, `show` makes the page agree with it.

const form = document.querySelector(".filter");
if (form) {
  const FILTERED = "#mistakes?";
  const groups = [...document.querySelectorAll("#misclassified .pair")].map(readGroup);
  const names = {true: uniqueNames("true"), predicted: uniqueNames("predicted")};
  const tiles = groups.flatMap(group => [...group.list.children].map(tile => readTile(tile, group)));
  const byIndex = new Map(tiles.map(tile => [tile.index, tile]));
  const fields = [...form.elements].filter(field => field.matches("select, input"));
  const flat = document.querySelector(".flat");
  const rarer = document.querySelector(".rarer");
  const orders = {
    loss: (a, b) => a.rank - b.rank,
    confidence: (a, b) => b.confidence - a.confidence || a.rank - b.rank,
    index: (a, b) => a.index - b.index,
  };
  const tests = {
    true: (tile, value) => tile.true === value,
    predicted: (tile, value) => tile.predicted === value,
    confidence: (tile, value) => isWithin(tile.confidence, ...value.split("-").map(Number)),
    finding: (tile, value) => tile.findings.includes(value),
    slice: (tile, value) => tile.slices.includes(value),
    suspects: tile => tile.suspected,
    text: (tile, value) => matches(tile, value.toLowerCase().replace(/^#/, "")),
    order: () => true,
  };
  let filters = {};
  let sequence = groups.flatMap(group => tiles.filter(tile => tile.group === group)); // in the order of the page
  let typedInto = null;
  const viewer = (document.querySelector(".viewer") ? makeViewer : makeInPlace)({
    shown: () => sequence, stateWith: image => ({filters, image}), titleOf, addressOf, write, show, unfold,
  });

  for (const name of ["true", "predicted"]) {
    const keys = [...names[name].keys()].sort((a, b) => a - b);
    form.elements[name]?.append(...keys.map(key => new Option(names[name].get(key))));
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", event => event.preventDefault());
  form.elements.clear?.addEventListener("click", () => go({filters: {}, image: null}));
  document.addEventListener("click", follow);
  addEventListener("hashchange", () => arrive(false));
  for (const link of document.querySelectorAll(".show")) link.hidden = false;
  form.hidden = false;
  arrive(true);

  function readGroup(element) {
    const list = element.querySelector(".tiles");
    const [, trueClass, predicted] = list.id.split("-");
    const [trueName, predictedName] = [...element.querySelectorAll("bdi")].map(name => name.textContent);
    return {
      element, list, opened: element.open, trueName, predictedName,
      true: {key: trueClass, name: trueName}, predicted: {key: predicted, name: predictedName},
    };
  }

  // The name of each class in the form and in the address; with its number if another class has the same name.
  function uniqueNames(side) {
    const classes = new Map(groups.map(group => [group[side].key, group[side].name]));
    const all = [...classes.values()];
    return new Map([...classes].map(([key, name]) =>
      [key, all.indexOf(name) === all.lastIndexOf(name) ? name : `${name} (class ${key})`]));
  }

  // The sheet is in the order of the loss, so the place on it is the rank.
  function readTile(element, group) {
    const [, x, y] = element.className.match(/x(\d+) y(\d+)/).map(Number);
    const [summary] = element.children;
    const [, confidence] = summary.textContent.match(/([\d.]+)\s%/) ?? [0, NaN];
    const codes = [...element.querySelectorAll("code")].map(code => code.textContent);
    summary.dataset.pair = `${group.trueName} → ${group.predictedName}`;
    return {
      element, summary, group, rank: y * 1e4 + x, index: Number(element.id.slice(1)), confidence: Number(confidence),
      true: names.true.get(group.true.key), predicted: names.predicted.get(group.predicted.key),
      file: element.querySelector("bdi")?.textContent ?? "",
      suspected: element.querySelector("em")?.textContent.replace(/^.*?: /, "") ?? "",
      findings: codes.filter(code => !code.startsWith("slice ")),
      slices: codes.filter(code => code.startsWith("slice ")).map(code => code.slice("slice ".length)),
    };
  }

  function isWithin(confidence, low, high) {
    return confidence >= low && (confidence < high || high === 100);
  }

  function matches(tile, words) {
    return String(tile.index).startsWith(words) || tile.file.toLowerCase().includes(words);
  }

  // The filters by the names of their fields, and the index of the open image.
  function stateOf(hash) {
    const image = /^#i(\d+)$/.exec(hash)?.[1];
    if (image) return {filters: {}, image: Number(image)};
    const state = new URLSearchParams(hash.startsWith(FILTERED) ? hash.slice(FILTERED.length) : "");
    const open = state.get("image");
    state.delete("image");
    return {filters: Object.fromEntries(state), image: open === null ? null : Number(open)};
  }

  function addressOf({filters, image}) {
    const named = Object.entries(filters);
    if (!named.length) return image === null ? "#misclassified" : `#i${image}`;
    return `${FILTERED}${new URLSearchParams(image === null ? named : [...named, ["image", image]])}`;
  }

  function show({filters: wanted, image}) {
    const missing = fill(wanted);
    const changed = String(new URLSearchParams(wanted)) !== String(new URLSearchParams(filters));
    filters = wanted;
    if (changed) arrange();
    const tile = byIndex.get(image);
    if (image !== null && !tile) missing.push(`image ${image}`);
    report(missing);
    if (tile) viewer.open(tile);
    else viewer.close();
    return changed;
  }

  // Fills the form. Returns what the page does not have.
  function fill(wanted) {
    for (const field of fields) {
      const value = wanted[field.name] ?? "";
      const [, low, high] = field.name === "confidence" && /^(\d+)-(\d+)$/.exec(value) || [];
      if (high && ![...field].some(option => option.value === value)) field.append(new Option(`${low}–${high} %`, value));
      if (field.type === "checkbox") field.checked = field.value === value;
      else if (field.value.trim() !== value) field.value = value;
      if (field.selectedIndex < 0) field.selectedIndex = 0;
    }
    return Object.entries(wanted).filter(([name, value]) => valueOf(form.elements[name]) !== value)
      .map(([name, value]) => `${name} “${value}”`);
  }

  function valueOf(field) {
    if (!fields.includes(field)) return "";
    return field.type === "checkbox" ? (field.checked ? field.value : "") : field.value.trim();
  }

  function arrange() {
    const known = Object.entries(filters).filter(([name, value]) => value && valueOf(form.elements[name]) === value);
    const matching = tiles.filter(tile => known.every(([name, value]) => tests[name](tile, value)));
    const isFiltered = known.some(([name]) => name !== "order");
    const order = flat && orders[form.elements.order?.value];
    matching.sort(order ?? orders.loss);
    const homes = Map.groupBy(matching, tile => tile.group);
    for (const group of groups) {
      group.element.hidden = Boolean(order) || !homes.has(group);
      group.element.open = isFiltered ? true : group.opened;
      group.list.replaceChildren(...(order ? [] : (homes.get(group) ?? []).map(tile => tile.element)));
    }
    flat?.replaceChildren(...(order ? matching.map(tile => tile.element) : []));
    sequence = order ? matching : groups.flatMap(group => homes.get(group) ?? []);
    if (rarer) {
      rarer.hidden = Boolean(order);
      rarer.open = isFiltered;
    }
  }

  function report(missing) {
    if (!form.elements.shown) return;
    const [some, all] = [sequence.length, tiles.length].map(count => count.toLocaleString("en"));
    const noun = tiles.length === 1 ? "mistake" : "mistakes";
    const count = some !== all ? `${some} of ${all} ${noun}` : tiles.length === 1 ? `1 ${noun}` : `All ${all} ${noun}`;
    form.elements.shown.value = missing.length
      ? `${count}. The address also asks for ${missing.join(", ")}, which this page does not have.` : count;
  }

  // What is typed into a field is one step of the history; every other choice is a step of its own.
  function filter({target}) {
    const wanted = Object.fromEntries(fields.map(field => [field.name, valueOf(field)]).filter(([, value]) => value));
    const how = target.type === "search" && typedInto === target ? "replaceState" : "pushState";
    typedInto = target;
    if (addressOf({filters: wanted, image: null}) === addressOf({filters, image: null})) return;
    write({filters: wanted, image: null}, how);
    show({filters: wanted, image: null});
  }

  function go(state) {
    typedInto = null;
    write(state, "pushState");
    show(state);
  }

  // Notes where the reader was, because Back restores the position before the tiles are in place again.
  function write(state, how, data = null) {
    if (how === "pushState") history.replaceState({...history.state, top: scrollY}, "");
    history[how](data, "", new URL(addressOf(state), location));
  }

  // A link to a filtered view shows the form, and a click on a tile opens it in the viewer.
  function follow(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const hash = event.target.closest("a")?.hash;
    const tile = viewer.visit && event.target.closest(".tiles > details > summary")?.parentElement;
    if (tile) viewer.visit(byIndex.get(Number(tile.id.slice(1))));
    else if (hash?.startsWith(FILTERED)) {
      go(stateOf(hash));
      form.scrollIntoView();
    } else return;
    event.preventDefault();
  }

  // The address changed: by a link, by Back or Forward, or because the page was loaded.
  function arrive(isNew) {
    typedInto = null;
    viewer.forget();
    const changed = show(stateOf(location.hash));
    const target = document.getElementById(location.hash.slice(1));
    const isGroup = groups.some(group => group.list === target);
    if (isGroup) unfold(target);
    if (isGroup || (changed && target)) target.scrollIntoView();
    else if (changed && !isNew && history.state) scrollTo(0, history.state.top ?? scrollY);
    else if (isNew && location.hash.startsWith(FILTERED)) form.scrollIntoView();
  }

  function unfold(element) {
    for (let fold = element.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  }

  // What the form calls a finding or a slice.
  function titleOf(name, value) {
    return [...form.elements[name] ?? []].find(option => option.value === value)?.text ?? value;
  }
}
