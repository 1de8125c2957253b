// Only browsers without modules run this; they cannot run the page.
document.querySelector("[role=status]").textContent =
  "This browser is too old to run Python. Open the page in a current Firefox, Chrome, Edge or Safari.";
document.querySelector("progress").style.display = "none";
