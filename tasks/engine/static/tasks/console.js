// What the console does with a script. Everything works without it.
"use strict";

// A hidden page is not refreshed, nor one whose reader has the focus on a control.
document.addEventListener("htmx:beforeRequest", (event) => {
    const busy = event.target.id === "live" && event.target.contains(document.activeElement);
    if (document.hidden || busy) event.preventDefault();
});
// Somebody who was logged out is asked to log in; a page that is not refreshed says so.
// While the database is away, the page says so; one that began without it has most yet to show.
const AWAY = 503;
document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target.id !== "live") return;
    const { xhr } = event.detail;
    const isBack = xhr.status === 200 && "wholePage" in event.target.dataset;
    if (xhr.status === AWAY) event.detail.shouldSwap = true;
    if (!isBack && !xhr.responseURL.includes("/login/")) return;
    event.detail.shouldSwap = false;
    location.reload();
});
document.addEventListener("htmx:afterRequest", (event) => {
    const stale = document.getElementById("stale");
    const { successful, xhr } = event.detail;
    if (stale && event.target.id === "live") stale.hidden = successful || xhr.status === AWAY;
});
document.addEventListener("visibilitychange", () => {
    const live = document.getElementById("live");
    if (live && !document.hidden) htmx.trigger(live, "refresh");
});

// Moments that the page has by the site's clock, by the browser's as a hint, in the same format.
const readersClock = new Intl.DateTimeFormat("en-GB", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
    second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
function hint(time) {
    const part = Object.fromEntries(
        readersClock.formatToParts(new Date(time.dateTime)).map(({type, value}) => [type, value])
    );
    return `Your time: ${part.year}-${part.month}-${part.day} `
        + `${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
}
function addHints() {
    for (const time of document.querySelectorAll("time.moment:not([title])")) time.title = hint(time);
}
document.addEventListener("DOMContentLoaded", addHints);
document.addEventListener("htmx:afterSwap", addHints);

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
