// Heads of tables become buttons that sort. Without this script every table still reads.
(() => {
  "use strict";
  const UNITS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1, "M": 1e6};
  // "1,234/s", "1.2 ms", "0.46 ×": the number in it, or null for words and dashes.
  const amount = (text) => {
    const match = /^[≥≤~]?\s*(-?[\d,]+(?:\.\d+)?(?:e[-+]?\d+)?)\s*(ns|µs|ms|s|M)?(?![a-z])/i.exec(text);
    return match ? Number(match[1].replaceAll(",", "")) * (UNITS[match[2]] ?? 1) : null;
  };
  const ordered = (a, b, sign) => {
    const [x, y] = [amount(a), amount(b)];
    if (x !== null && y !== null) return sign * (x - y);
    if (x !== null || y !== null) return x === null ? 1 : -1;
    return sign * a.localeCompare(b, "en", {numeric: true});
  };
  const sort = (table, column, sign) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const text = (row) => row.cells[column].textContent.trim();
    rows.sort((a, b) => ordered(text(a), text(b), sign));
    body.append(...rows);
  };
  for (const table of document.querySelectorAll("table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    table.classList.add("sortable");
    if (table.tBodies[0].rows.length > 5) table.classList.add("long");
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.title = `Sort by ${head.textContent}`;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        sort(table, column, rising ? 1 : -1);
      });
    });
  }
})();
