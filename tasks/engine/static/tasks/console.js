// What the console does where there is a script: everything works without it.
"use strict";

// A hidden page asks for nothing, and nothing is taken from under a reader's hands.
document.addEventListener("htmx:beforeRequest", (event) => {
    const busy = event.target.id === "live" && event.target.contains(document.activeElement);
    if (document.hidden || busy) event.preventDefault();
});
// Who has been logged out meanwhile is asked to log in, and a page that grows old says so.
document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "live" || !event.detail.xhr.responseURL.includes("/login/")) return;
    event.detail.shouldSwap = false;
    location.reload();
});
document.addEventListener("htmx:afterRequest", (event) => {
    const stale = document.getElementById("stale");
    if (stale && event.target.id === "live") stale.hidden = event.detail.successful;
});
document.addEventListener("visibilitychange", () => {
    const live = document.getElementById("live");
    if (live && !document.hidden) htmx.trigger(live, "refresh");
});

// The reader's own time, where their clock is not the site's.
const own = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
    second: "2-digit", timeZoneName: "short",
});
function showOwnTimes() {
    for (const time of document.querySelectorAll("time.moment")) {
        const text = own.format(new Date(time.dateTime));
        if (time.closest(".reader") && !time.title) {
            time.title = `By the site's clock: ${time.textContent}`;
            time.textContent = text;
        } else if (!time.title) {
            time.title = `By your clock: ${text}`;
        }
    }
}
document.addEventListener("DOMContentLoaded", showOwnTimes);
document.addEventListener("htmx:afterSwap", showOwnTimes);

// Errors can be copied whole.
document.addEventListener("DOMContentLoaded", () => {
    for (const pre of document.querySelectorAll("pre.copyable")) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "button copy";
        button.textContent = "Copy";
        button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(pre.textContent);
            button.textContent = "Copied";
        });
        pre.before(button);
    }
});
