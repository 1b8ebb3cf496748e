// Sorts tables by their headers. Without this script, every table is complete and in the order of its caption.

for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  let end = 0;
  for (const head of table.tHead.rows[0].cells) {
    end += head.colSpan;
    if (head.localName === "th") makeSortable(head, end - 1);
  }

  function makeSortable(head, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head, column));
  }

  // The first click gives the highest numbers, or names from A; the next one the other direction.
  function sort(head, column) {
    const rows = [...body.rows].map(row => ({row, value: sortValue(row.cells[column])}));
    const numbers = rows.every(({value}) => typeof value !== "string");
    const before = head.getAttribute("aria-sort");
    const sign = (before ? before === "descending" : !numbers) ? 1 : -1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    rows.sort((a, b) => (a.value === null) - (b.value === null) || sign * compare(a.value, b.value));
    body.append(...rows.map(({row}) => row));
  }
}

function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
}

// A number with sign, unit or thousands separators, a time in seconds, a text, or null for a missing value.
function sortValue(cell) {
  const text = cell.textContent.trim().replaceAll("\u00a0", " ");
  if (text === "" || text === "–" || text === "unknown") return null;
  if (text === "not finite") return Infinity;
  const time = text.match(/^(?:(\d+) h )?(?:(\d+) min)?(?: ?([\d.]+) s)?$/);
  if (time) return 3600 * (time[1] ?? 0) + 60 * (time[2] ?? 0) + Number(time[3] ?? 0);
  const number = text.match(/^([<>] )?([−+-]?[\d,]*\.?\d+(?:e[-+]?\d+)?)(?: %|[–-][\d.]+)?$/);
  if (!number) return text;
  const nudge = {"< ": -1e-6, "> ": 1e-6}[number[1]] ?? 0;
  return Number(number[2].replaceAll(",", "").replace("−", "-").replace("+", "")) + nudge;
}
