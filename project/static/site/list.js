// What lists do with a script: forms are sent from here, one after the other; keyboard shortcuts.
"use strict";

(() => {
    const main = document.getElementById("main");
    // Pages with lists have it: their forms are sent from here, and #main is replaced by the answer.
    const trouble = document.getElementById("trouble");
    const field = () => document.getElementById("new");
    const rowOf = (element) => element?.closest?.(".row");

    // --- Requests -------------------------------------------------------------------------------

    // One at a time, in the order of the clicks: what an answer shows includes all that came before.
    const waiting = [];
    let current = null;

    function ask(job) {
        waiting.push(job);
        if (!current) work();
    }

    async function work() {
        while ((current = waiting.shift())) {
            current.answer = null;
            try {
                await htmx.ajax(current.method, current.url, {
                    target: "#main", swap: "innerHTML", values: current.values && signed(current.values),
                });
            } catch {
                // No answer; or one for a row that has gone from the page.
            }
            finish(current);
        }
    }

    // Whoever leaves the page meanwhile has done it all the same. To do a thing again changes nothing.
    window.addEventListener("pagehide", () => {
        for (const job of [current, ...waiting]) {
            if (job?.method !== "POST") continue;
            const body = new URLSearchParams(signed(job.values));
            fetch(job.url, { method: "POST", body, keepalive: true, redirect: "manual" }).catch(() => {});
        }
    });

    // After a log-in in another window, forms of this one have an old token; the cookie is new.
    function signed(values) {
        const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
        if (token && values.has("csrfmiddlewaretoken")) values.set("csrfmiddlewaretoken", token[1]);
        return values;
    }

    function finish(job) {
        const { answer } = job;
        if (answer && (answer.status < 400 || job.shown)) return;
        job.row?.classList.remove("going");
        const words = trouble.dataset;
        if (answer?.status === 422) refuse(job, answer.responseText);
        else if (!answer?.status) complain(job, words.offline);
        else if (answer.getResponseHeader("Content-Type")?.startsWith("text/plain")) complain(job, answer.responseText);
        else if (answer.status === 404) complain(job, words.gone);
        else complain(job, words.other);
    }

    document.body.addEventListener("htmx:beforeOnLoad", ({ detail }) => {
        if (!current) return;
        current.answer = detail.xhr;
        if (detail.xhr.getResponseHeader("HX-Redirect")) park(current);  // To the log-in.
    });

    document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
        const { xhr } = detail;
        if (/^\s*<!doctype/i.test(xhr.responseText) && xhr.status < 400) {
            // A whole page: go there.
            detail.shouldSwap = false;
            location.assign(xhr.responseURL);
        } else if (xhr.getResponseHeader("HX-Retarget")) {
            // Also a form that is refused: it says why.
            detail.shouldSwap = true;
            detail.isError = false;
            if (current) current.shown = true;
        }
        if (detail.shouldSwap && detail.target === main) remember();
        under = rowUnderPointer();
    });

    document.body.addEventListener("htmx:afterSwap", () => {
        bringBack();
        noteMove();
        say(document.getElementById("notices")?.textContent);
    });

    // --- What was typed and chosen, and where the focus was --------------------------------------------------

    let before = null;

    function remember() {
        const active = document.activeElement;
        const focused = rowOf(active) ?? (active === document.body ? current?.row : null);
        before = {
            active,
            editing: [...main.querySelectorAll(".row.editing:not(.going)")],
            complaints: [...main.querySelectorAll(".notice.trouble")],
            checked: new Set([...main.querySelectorAll(".trashed :checked")].map((box) => box.value)),
            row: focused && {
                id: focused.id,
                list: focused.parentElement.dataset.rows,
                index: [...focused.parentElement.children].indexOf(focused),
                control: [".check", ".delete"].find((one) => active.matches(one)) ?? ".edit",
            },
        };
    }

    function bringBack() {
        if (!before) return;
        const { active, editing, complaints, checked, row } = before;
        before = null;
        document.getElementById("notices")?.prepend(...complaints);
        // What has had the focus would take it once more when it is put into the page again.
        for (const one of editing) one.querySelector("[autofocus]")?.removeAttribute("autofocus");
        for (const box of main.querySelectorAll(".trashed [type=checkbox]")) box.checked ||= checked.has(box.value);
        for (const form of editing) {
            const now = document.getElementById(form.id);
            if (now) now.replaceWith(form);
            else main.querySelector(".todos")?.prepend(form);
        }
        if (main.contains(active)) active.focus({ preventScroll: true });
        else if (row) nextTo(row)?.focus({ preventScroll: true });
        else if (active?.id) document.getElementById(active.id)?.focus({ preventScroll: true });
        if (document.activeElement === document.body) (field() ?? main).focus({ preventScroll: true });
    }

    // The same control of the same row; of the one in its place, if it has left its list: of one
    // after it that is not being edited, so that no key goes on as text.
    function nextTo({ id, list, index, control }) {
        const rows = main.querySelector(`[data-rows="${list}"]`)?.children;
        if (!rows?.length) return field();
        const own = [...rows].find((one) => one.id === id);
        const others = [...rows].slice(index).concat([...rows].slice(0, index).reverse());
        const row = own ?? others.find((one) => !one.matches(".editing")) ?? rows[0];
        return row.querySelector(control) ?? row.querySelector("button, a");
    }

    // --- The second click of a double-click -------------------------------------------------------

    // It was meant for the row that has gone, not for the one that took its place.
    const ONES_OWN = ".row button, .row a, #notices button";
    const SETTLES_MS = 400, SAME_PLACE_PX = 20;
    const pointer = { x: -1, y: -1 };
    let under = null, moved = null;

    for (const kind of ["pointermove", "pointerdown"]) {
        document.addEventListener(kind, ({ clientX, clientY }) => {
            Object.assign(pointer, { x: clientX, y: clientY });
        }, { passive: true });
    }

    const rowUnderPointer = () => rowOf(document.elementFromPoint(pointer.x, pointer.y))?.id;

    function noteMove() {
        if (rowUnderPointer() !== under) moved = { ...pointer, at: performance.now() };
    }

    function isUnmeant({ detail, target, clientX, clientY }) {
        if (detail > 1) return true;  // The browser's own count; a key's click has 0.
        if (!detail || !moved || !rowOf(target) || performance.now() - moved.at > SETTLES_MS) return false;
        return Math.hypot(clientX - moved.x, clientY - moved.y) < SAME_PLACE_PX;
    }

    document.addEventListener("click", (event) => {
        if (!trouble || !event.target.closest(ONES_OWN) || !isUnmeant(event)) return;
        event.preventDefault();
        event.stopImmediatePropagation();
    }, { capture: true });

    // --- A press during which the list is replaced --------------------------------------------------

    // The browser drops a click whose button goes, or is put in again, before it is let go of.
    let pressed = null;

    document.addEventListener("mousedown", (event) => {
        const control = event.target.closest?.("#main button, #main a");
        const meant = control && !event.button && !isUnmeant(event) && !rowOf(control)?.classList.contains("going");
        pressed = meant ? { control, x: event.clientX, y: event.clientY, replaced: false, clicked: false } : null;
    });

    document.body.addEventListener("htmx:afterSwap", () => {
        if (pressed) pressed.replaced = true;
    });

    window.addEventListener("click", ({ target }) => {
        if (pressed?.control.contains(target)) pressed.clicked = true;
    }, { capture: true });

    document.addEventListener("mouseup", ({ clientX, clientY }) => {
        const press = pressed;
        if (!press?.replaced || Math.hypot(clientX - press.x, clientY - press.y) > SAME_PLACE_PX) return;
        // After the browser's own click, if there is one.
        setTimeout(() => press.clicked || sameAs(press.control)?.click());
    });

    // The control itself, or what does the same to the same row, if anything still does.
    function sameAs(control) {
        if (control.isConnected) return control;
        const row = document.getElementById(rowOf(control)?.id);
        return [...(row?.querySelectorAll("button, a") ?? [])].find(
            (one) => one.className === control.className && one.textContent === control.textContent,
        );
    }

    // --- Forms and buttons ------------------------------------------------------------------------

    document.addEventListener("submit", (event) => {
        const { target: form, submitter } = event;
        if (!trouble || form.method !== "post" || !main.contains(form)) return;
        event.preventDefault();
        const row = rowOf(submitter) ?? rowOf(form);
        if (row?.classList.contains("going")) return;
        const values = new FormData(form, submitter);
        const job = { method: "POST", url: submitter?.hasAttribute("formaction") ? submitter.formAction : form.action, values, row };
        if (form.id === "add") {
            job.typed = field().value.trim();
            if (!job.typed) return;
            // Whatever is typed from here on is the next todo.
            values.set("key", newKey());
            field().value = "";
            field().focus();
        }
        row?.classList.add("going");
        ask(job);
    });

    function newKey() {
        return Array.from(crypto.getRandomValues(new Uint32Array(4)), (number) => number.toString(36)).join("");
    }

    document.addEventListener("click", (event) => {
        if (!trouble || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
        const link = event.target.closest("[data-edit], .editing [data-cancel], [data-help]");
        if (!link) return;
        event.preventDefault();
        if (link.matches("[data-help]")) help();
        else if (link.matches("[data-edit]")) ask({ method: "GET", url: link.href, row: null });
        else cancel(rowOf(link));
    });

    function cancel(row) {
        row.classList.add("going");
        ask({ method: "GET", url: location.href, row });
    }

    // What a picture on a button means, for those who see it: the first of the words that name it.
    for (const kind of ["pointerover", "focusin"]) {
        document.addEventListener(kind, ({ target }) => {
            const control = target.closest?.(".check, .tool");
            if (!control || control.title) return;
            const [word] = control.getAttribute("aria-labelledby").split(" ");
            control.title = document.getElementById(word).textContent;
        });
    }

    // --- Words ------------------------------------------------------------------------------------

    // A region that stays where it is: what is put into it is read out.
    const said = document.createElement("div");
    said.className = "visually-hidden";
    said.setAttribute("role", "status");
    document.body.append(said);

    function say(text) {
        said.textContent = (text ?? "").replace(/\s+/g, " ").trim();
    }

    // What would go wrong again is typed again, unless somebody is typing the next todo.
    function refuse(job, text) {
        const isFree = field()?.value === "";
        if (isFree) field().value = job.typed;
        const notice = complain(isFree ? {} : job, text);
        notice.querySelector("[data-again]").remove();
        notice.querySelector("[data-close]").hidden = isFree;
        notice.classList.toggle("trouble", !isFree);  // The next answer may take it away.
    }

    // It stays until it has been dealt with.
    function complain(job, text) {
        const notice = trouble.content.firstElementChild.cloneNode(true);
        notice.classList.add("trouble");
        notice.querySelector("[data-text]").textContent = text;
        notice.querySelector("[data-typed]").textContent = job.typed ?? "";
        notice.querySelector("[data-again]").addEventListener("click", () => {
            notice.remove();
            job.row?.classList.add("going");
            ask(job);
            field()?.focus();
        });
        notice.querySelector("[data-close]").addEventListener("click", () => {
            notice.remove();
            field()?.focus();
        });
        document.getElementById("notices").prepend(notice);
        notice.scrollIntoView({ block: "nearest" });  // It does not float while a form is open.
        say(`${text} ${job.typed ?? ""}`);
        return notice;
    }

    // Whoever has to log in first finds what they did not get done when they come back.
    function park({ method, url, values, typed }) {
        if (method !== "POST") return;
        const entries = [...values].filter(([, value]) => typeof value === "string");
        sessionStorage.setItem("parked", JSON.stringify({ user: trouble.dataset.user, url, entries, typed }));
    }

    function unpark() {
        const parked = JSON.parse(sessionStorage.getItem("parked"));
        sessionStorage.removeItem("parked");
        if (parked?.user !== trouble.dataset.user) return;
        const values = new FormData();
        for (const [name, value] of parked.entries) values.append(name, value);
        const typed = parked.typed ?? values.get("title") ?? "";
        complain({ method: "POST", url: parked.url, values, typed }, trouble.dataset.parked);
    }

    // --- The keyboard -----------------------------------------------------------------------------

    const FIELDS = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";

    const shortcuts = {
        n: () => (field() ? field().focus() : location.assign(document.querySelector(".brand").href)),
        "/": () => document.getElementById("q")?.focus(),
        j: () => move(1),
        k: () => move(-1),
        x: () => rowOf(document.activeElement)?.querySelector(".check")?.click(),
        e: () => rowOf(document.activeElement)?.querySelector(".edit")?.click(),
        z: () => main.querySelector("[data-undo]")?.click(),
        "?": help,
    };

    document.addEventListener("keydown", (event) => {
        const { target, key } = event;
        if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
        if (target.matches(FIELDS)) {
            if (key === "Escape") leave(target);
            // It has the focus from the beginning; no todo begins so.
            if (key !== "?" || target !== field() || target.value) return;
        }
        if ("shortcuts" in document.body.dataset && Object.hasOwn(shortcuts, key)) {
            if (document.querySelector("dialog[open]")) return;
            event.preventDefault();
            if (!event.repeat || "jk".includes(key)) shortcuts[key]();  // Held down, x is one todo's.
        }
    });

    // A form in which nothing has been changed is closed.
    function leave(element) {
        const row = rowOf(element);
        const changed = [...(row?.querySelectorAll(FIELDS) ?? [])].some((one) => one.value !== one.defaultValue);
        if (row && changed) return row.querySelector("[data-cancel]")?.focus();
        element.blur();
        if (row) cancel(row);
    }

    function move(step) {
        const rows = [...main.querySelectorAll(".row")];
        const at = rows.indexOf(rowOf(document.activeElement));
        const row = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + step))];
        focusIn(row, ".check, button, input, a");
    }

    // The first that is there to be seen: forms begin with hidden fields.
    function focusIn(row, controls) {
        const shown = [...(row?.querySelectorAll(controls) ?? [])].find((one) => one.checkVisibility());
        shown?.focus();
    }

    function help() {
        const dialog = document.getElementById("keys");
        if (dialog) dialog.showModal();
    }

    // It has the focus by now; htmx would give it back after every answer.
    field()?.removeAttribute("autofocus");
    if (trouble && sessionStorage.getItem("parked")) unpark();
})();
