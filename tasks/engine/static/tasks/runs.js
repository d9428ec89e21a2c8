// The keys of the list of runs. Everything works without them; whoever dictates turns them off.
"use strict";

(() => {
    const OFF = "runs-keys-off";
    const FIELDS = "input:not([type=checkbox]), textarea, select, [contenteditable]";
    const keys = document.getElementById("keys");
    const isOn = document.getElementById("keys-on");
    if (!keys) return;

    keys.hidden = false;
    isOn.checked = localStorage.getItem(OFF) === null;
    isOn.addEventListener("change", () => {
        if (isOn.checked) localStorage.removeItem(OFF);
        else localStorage.setItem(OFF, "1");
    });

    const rows = () => [...document.querySelectorAll("#result_list tbody tr")];
    const current = () => document.activeElement.closest("#result_list tbody tr");

    function move(step) {
        const all = rows();
        const at = all.indexOf(current());
        const next = at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + step));
        all[next]?.querySelector("th a").focus();
    }
    // The page scrolls by the arrows until a run has the focus.
    const moveFrom = (step) => current() !== null && (move(step), true);

    const actions = {
        "/": () => document.getElementById("filter-search").focus(),
        j: () => move(1),
        k: () => move(-1),
        ArrowDown: () => moveFrom(1),
        ArrowUp: () => moveFrom(-1),
        x: () => current()?.querySelector("[name=run]")?.click(),
        "?": () => {
            keys.open = true;
            keys.querySelector("summary").focus();
        },
    };

    document.addEventListener("keydown", (event) => {
        const { key, target } = event;
        if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
        if (!isOn.checked || target.matches(FIELDS) || !Object.hasOwn(actions, key)) return;
        if (actions[key]() !== false) event.preventDefault();
    });
})();
