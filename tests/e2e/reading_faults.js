// What a reader would stumble over, all unfolded: words that are cut, covered or off the page.
() => {
  const folded = document.querySelectorAll("details:not([open])");
  for (const each of folded) each.open = true;
  const faults = [];
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > room)
    faults.push(`the page is ${document.documentElement.scrollWidth} px wide, the window ${room}`);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const words = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.textContent.trim() || node.parentElement.closest("title, style, desc")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.width > 0) words.push({text: node.textContent.trim(), box, node});
  }
  for (const {text, box} of words)
    if (box.left < -1 || box.right > room + 1) faults.push(`cut: ${text}`);
  for (let i = 0; i < words.length; i++)
    for (let j = i + 1; j < words.length; j++) {
      const a = words[i].box, b = words[j].box;
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      const covered = across > 2 && down > 0.35 * Math.min(a.height, b.height);
      if (covered && words[i].node !== words[j].node)
        faults.push(`overlap: ${words[i].text} | ${words[j].text}`);
    }
  for (const each of folded) each.open = false;
  return {words: words.length, faults};
}
