// Shows single mistakes in a dialog. A step changes a few texts and the place on the sheets; the tiles stay as they are.
// A user's template may leave out any part of the dialog, or all of it.

// Without the dialog, a tile opens in its place.
function makeInPlace({unfold}) {
  function open(tile) {
    unfold(tile.element);
    tile.element.scrollIntoView();
  }
  return {open, close() {}, forget() {}};
}

function makeViewer({shown, stateWith, titleOf, addressOf, write, show, unfold}) {
  const dialog = document.querySelector(".viewer");
  const part = name => dialog.querySelector(`[data-show=${name}]`);
  const control = name => dialog.querySelector(`[name=${name}]`);
  const tell = (name, ...content) => part(name)?.replaceChildren(...content);
  const keys = {
    ArrowLeft: () => step(place() - 1), ArrowRight: () => step(place() + 1),
    Home: () => step(0), End: () => step(shown().length - 1),
    o: () => control("mapped")?.click(), ...Object.fromEntries([1, 2, 3].map(key => [key, () => choose(key - 1)])),
  };
  let current = null; // the tile that is shown
  let left = null; // the tile that was shown when the reader closed the dialog
  let timer = 0;

  control("previous")?.addEventListener("click", keys.ArrowLeft);
  control("next")?.addEventListener("click", keys.ArrowRight);
  control("close")?.addEventListener("click", () => dialog.close());
  control("copy")?.addEventListener("click", copy);
  control("opacity")?.addEventListener("input", ({target}) => dialog.style.setProperty("--opacity", target.value / 100));
  document.addEventListener("keydown", press);
  dialog.addEventListener("close", leave);
  return {visit, open, close, forget};

  // Opens an image as a step of the history, so that Back closes it.
  function visit(tile) {
    write(stateWith(tile.index), "pushState", {visited: true});
    show(stateWith(tile.index));
  }

  function open(tile) {
    current = tile;
    dialog.className = `viewer ${tile.element.className}`;
    const guesses = tile.element.querySelector("ol");
    tell("true", tile.group.trueName);
    tell("predicted", tile.group.predictedName);
    tell("guesses", ...guesses.cloneNode(true).children);
    tell("loss", guesses.nextSibling.textContent.replace("loss ", ""));
    tell("index", tile.index);
    tell("file", tile.file);
    tell("suspected", tile.suspected);
    tell("findings", ...tile.findings.map(code => linkTo("finding", code)));
    tell("slices", ...tile.slices.map(number => linkTo("slice", number)));
    showPlace();
    reportCopied("");
    showLink(null);
    if (dialog.open) return;
    dialog.showModal();
    control("next")?.focus();
  }

  function linkTo(name, value) {
    const link = document.createElement("a");
    link.href = new URL(addressOf({filters: {[name]: value}, image: null}), location);
    link.textContent = titleOf(name, value);
    return link;
  }

  function showPlace() {
    const count = shown().length.toLocaleString("en");
    tell("position", place() < 0
      ? `not among the ${count} that are filtered` : `${(place() + 1).toLocaleString("en")} of ${count}`);
    // Not disabled, because a disabled button would lose the focus.
    control("previous")?.setAttribute("aria-disabled", place() <= 0);
    control("next")?.setAttribute("aria-disabled", place() === shown().length - 1);
  }

  function place() {
    return shown().indexOf(current);
  }

  // Browsers limit how often a page changes its address, and a held key steps 30 times a second: the last step counts.
  function step(to) {
    const tile = shown()[to];
    if (!tile) return;
    open(tile);
    forget();
    timer = setTimeout(() => write(stateWith(tile.index), "replaceState", history.state), 250);
  }

  function forget() {
    clearTimeout(timer);
  }

  function choose(map) {
    dialog.querySelectorAll("[name=map]")[map]?.click();
  }

  function press(event) {
    if (!dialog.open || event.altKey || event.ctrlKey || event.metaKey || event.target.type === "text") return;
    const isMoving = event.key.length > 1; // an arrow, Home or End; they also move the slider
    const act = keys[isMoving ? event.key : event.key.toLowerCase()];
    if (!act || (isMoving && event.target.type === "range")) return;
    event.preventDefault();
    act();
  }

  // The reader closed the dialog. The address follows: one step back if the image was a step of its own.
  function leave() {
    if (!current) return;
    [left, current] = [current, null];
    forget();
    if (history.state?.visited) {
      write(stateWith(left.index), "replaceState", history.state); // for Forward
      history.back();
    } else {
      write(stateWith(null), "replaceState");
      show(stateWith(null));
    }
  }

  // The address has no image any more.
  function close() {
    const tile = current ?? left;
    current = left = null;
    dialog.close();
    if (!tile?.element.isConnected) return;
    unfold(tile.element.parentElement);
    tile.summary.focus({preventScroll: true});
    tile.element.scrollIntoView({block: "nearest"});
  }

  async function copy() {
    const link = new URL(addressOf(stateWith(current.index)), location).href;
    try {
      await navigator.clipboard.writeText(link);
      reportCopied("Copied.");
    } catch { // not allowed, or not a secure page
      showLink(link);
      reportCopied("Copy the link from the field.");
    }
  }

  function reportCopied(text) {
    if (control("copied")) control("copied").value = text;
  }

  function showLink(link) {
    const field = control("link");
    if (!field) return;
    field.closest("p").hidden = !link;
    field.value = link ?? "";
    if (link) field.select();
  }
}
