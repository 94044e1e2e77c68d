// A classic script in the head: a module would come too late and the other scheme would flash.
try {
  const chosen = localStorage.getItem("millsight-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's scheme is as good.
}
