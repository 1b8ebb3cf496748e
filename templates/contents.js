// Closes the table of contents of a phone when a link in it was followed. Without this script, a tap beside it does.

const contents = document.getElementById("contents");
contents.addEventListener("click", event => {
  if (event.target.closest("a") && contents.matches(":popover-open")) contents.hidePopover();
});
