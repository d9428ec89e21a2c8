// What people's pages do with a script. Everything works without it.
"use strict";

// Offers this device's time zone, if the form has another.
for (const offer of document.querySelectorAll("[data-offer-zone]")) {
  const select = document.getElementById(offer.dataset.offerZone);
  const button = offer.querySelector("button");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const show = () => { offer.hidden = select.value === zone; };
  if ([...select.options].some((option) => option.value === zone)) {
    button.textContent = button.dataset.words.replace("ZONE", zone.replaceAll("_", " "));
    button.addEventListener("click", () => { select.value = zone; select.focus(); show(); });
    select.addEventListener("change", show);
    show();
  }
}

// Copies what is to be pasted elsewhere, such as a token.
for (const offer of document.querySelectorAll("[data-copies]")) {
  const button = offer.querySelector("button");
  offer.hidden = !navigator.clipboard;  // As on a page without HTTPS.
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(offer.dataset.copies).textContent);
    button.textContent = button.dataset.words;
  });
}
