// What the console does with a script. Everything works without it.
"use strict";

// The part of a page that refreshes itself: on the first page, and on that of a run.
const isLive = (event) => event.target.id === "live";

// It is not refreshed while the page is hidden, nor when what it shows has ended, nor while that
// would disturb its reader: the focus on a control without an id would be lost, as would a text that
// is selected, and the click of a button that is pressed at this moment.
function wouldDisturb(live) {
    const focused = document.activeElement, selection = getSelection();
    return (live.contains(focused) && !focused.id)
        || (!selection.isCollapsed && live.contains(selection.anchorNode))
        || live.querySelector(":is(button, a, summary):active");
}
document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden) event.preventDefault();
    if (!isLive(event)) return;
    if (event.target.querySelector("[data-ended]") || wouldDisturb(event.target)) event.preventDefault();
});
// Somebody who was logged out is asked to log in; a page that is not refreshed says so.
// While the database is away, the page says so; one that began without it has most yet to show.
const AWAY = 503;
let kept = {opened: [], focused: ""};
document.addEventListener("htmx:beforeSwap", (event) => {
    if (!isLive(event)) return;
    const { xhr } = event.detail, live = event.target;
    const isBack = xhr.status === 200 && "wholePage" in live.dataset;
    if (xhr.status === AWAY) event.detail.shouldSwap = true;
    if (isBack || xhr.responseURL.includes("/login/")) {
        event.detail.shouldSwap = false;
        location.reload();
    } else if (wouldDisturb(live)) {
        event.detail.shouldSwap = false;
    } else {
        const opened = [...live.querySelectorAll("details[open]")].map((details) => details.id);
        const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
        kept = {opened, focused};
    }
});
// What was unfolded stays so, and the focus where it was. HTMX tells this of each new element, and
// gives those with an id their predecessor's attributes until they have settled.
document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id !== "live") return;
    for (const id of kept.opened) document.getElementById(id)?.setAttribute("open", "");
    addCopyButtons(); // One of them may have had the focus.
    if (kept.focused) document.getElementById(kept.focused)?.focus({preventScroll: true});
    // To read out every second that passes would be noise; how it ended is not.
    const end = document.querySelector("#live > [data-ended] strong");
    if (end) document.getElementById("announced").textContent = end.textContent;
});
document.addEventListener("htmx:afterRequest", (event) => {
    const stale = document.getElementById("stale");
    const { successful, xhr } = event.detail;
    if (stale && isLive(event)) stale.hidden = successful || xhr.status === AWAY;
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

// Errors, and lines for elsewhere, can be copied whole.
function addCopyButtons() {
    for (const pre of document.querySelectorAll("pre.copyable")) {
        if (pre.previousElementSibling?.classList.contains("copy")) continue;
        const button = document.createElement("button");
        button.type = "button";
        button.className = "button copy";
        button.id = `${pre.id}-copy`;
        button.textContent = "Copy";
        button.addEventListener("click", async () => {
            await navigator.clipboard.writeText(pre.textContent);
            button.textContent = "Copied";
        });
        pre.before(button);
    }
}
document.addEventListener("DOMContentLoaded", addCopyButtons);
document.addEventListener("htmx:afterSettle", addCopyButtons);
