// Offers passkeys where the browser knows them, and says what went wrong. django-allauth's script does the rest.
"use strict";

(() => {
    const error = document.getElementById("passkey_error");
    const button = document.querySelector("[data-passkey]");

    if (window.PublicKeyCredential) {
        button.hidden = false;
    } else {
        error.textContent = error.dataset.unknown;
    }

    // The Enter key sends a form that has nothing to send yet.
    if (button.type === "button") {
        button.form.addEventListener("submit", (event) => {
            event.preventDefault();
            button.click();
        });
    }

    button.addEventListener("click", () => {
        error.textContent = "";
    }, true);

    document.addEventListener("allauth.error", (event) => {
        event.preventDefault();
        error.textContent = error.dataset.failed;
    });
})();
