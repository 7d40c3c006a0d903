/* The page's own behaviour: what it keeps in this browser, citations, drawers, the article dialog, the keyboard. */
(function () {
  "use strict";

  const CURRENT = "switchboard.current";
  const MAX_CONVERSATIONS = 20;
  const MAX_CHARACTERS = 1_000_000; // UTF-16 code units: 2 MB in the browser's storage.
  const parts = {};
  const $ = (selector, root = document) => root.querySelector(selector);
  const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  /* ---- Conversations, in this browser's own storage ---- */

  /* Whoever has logged in has a store of their own: the browser may be shared. */
  const user = () => window.gradio_config?.username || "";
  const storeName = () => `switchboard.conversations${user() && `.${user()}`}`;

  function stored() {
    try {
      const list = JSON.parse(localStorage.getItem(storeName()) || "[]");
      return Array.isArray(list) ? list.filter((one) => one && one.id && Array.isArray(one.turns)) : [];
    } catch {
      return [];
    }
  }

  function store(list) {
    let kept = list.slice(0, MAX_CONVERSATIONS);
    for (;;) {
      const text = JSON.stringify(kept);
      try {
        if (text.length <= MAX_CHARACTERS || kept.length === 1) return localStorage.setItem(storeName(), text);
      } catch {
        if (kept.length <= 1) return;
      }
      kept = kept.slice(0, -1); // The oldest goes.
    }
  }

  /* Other tabs write here too: what is stored is read anew and only this conversation is replaced in it. */
  function save(conversation) {
    const others = stored().filter((one) => one.id !== conversation.id);
    if (conversation.turns.length) store([{ ...conversation, saved: Date.now() }, ...others]);
    else store(others);
  }

  function setCurrent(id) {
    try {
      sessionStorage.setItem(CURRENT, id);
    } catch {
      /* Without storage the conversation lasts as long as the page. */
    }
  }

  function remember() {
    const value = parts.memory.props.value;
    if (!value || !value.current) return;
    for (const other of value.others || []) save(other);
    save(value.current);
    setCurrent(value.current.id);
    if (user()) parts.memory.trigger("keep");
    listConversations();
  }

  /* What the server has of whoever has logged in: newer, or from another browser. */
  function recall() {
    const here = stored();
    const newer = (parts.recalled.props.value?.conversations || []).filter(
      (one) => !here.some((own) => own.id === one.id && own.saved >= one.saved),
    );
    const others = here.filter((own) => !newer.some((one) => one.id === own.id));
    if (newer.length) store([...newer, ...others].sort((one, other) => other.saved - one.saved));
    listConversations();
  }

  function current() {
    return parts.memory?.props.value?.current || { id: newId(), turns: [] };
  }

  function show(conversation) {
    setCurrent(conversation.id);
    parts.memory.props.value = { current: conversation, others: [] };
    parts.memory.trigger("restore");
  }

  function newId() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function restore() {
    const list = stored();
    let id = null;
    try {
      id = sessionStorage.getItem(CURRENT);
    } catch {
      /* As above. */
    }
    const found = id ? list.find((one) => one.id === id) : list[0];
    if (found) show(found);
    listConversations();
  }

  function listConversations() {
    const list = $("#conversation-list");
    if (!list) return;
    const active = parts.memory?.props.value?.current?.id;
    list.replaceChildren(
      ...stored().map((one) => {
        const item = document.createElement("li");
        const open = document.createElement("button");
        open.type = "button";
        open.className = "conversation";
        open.dataset.action = "open-conversation";
        open.dataset.id = one.id;
        if (one.id === active) open.setAttribute("aria-current", "true");
        const title = document.createElement("span");
        title.textContent = one.title;
        const when = document.createElement("small");
        const turns = one.turns.length;
        when.textContent = `${ago(one.saved)} · ${turns} question${turns === 1 ? "" : "s"}`;
        open.append(title, when);
        const remove = document.createElement("button");
        remove.type = "button";
        remove.className = "close";
        remove.dataset.action = "delete-conversation";
        remove.dataset.id = one.id;
        remove.setAttribute("aria-label", `Delete “${one.title}”`);
        remove.innerHTML = '<i class="icon icon-bin" aria-hidden="true"></i>';
        item.append(open, remove);
        return item;
      }),
    );
    if (!list.children.length) {
      const none = document.createElement("li");
      none.className = "none";
      none.textContent = "No conversations yet.";
      list.append(none);
    }
  }

  function ago(time) {
    const minutes = Math.round((Date.now() - (time || 0)) / 60000);
    if (minutes < 1) return "just now";
    if (minutes < 60) return `${minutes} min ago`;
    if (minutes < 1440) return `${Math.round(minutes / 60)} h ago`;
    return new Date(time).toLocaleDateString();
  }

  /* ---- The transcript ---- */

  const busy = () => Boolean($('#transcript .turn[data-state="working"], #board .round[data-state="working"]'));
  const chosenMode = () => document.body.dataset.mode;
  const modeLabel = (value) => $(`#switch input[value="${value}"]`)?.closest("label")?.textContent.trim() || value;

  let wasBusy = false;
  let spoken = "";
  let turns = 0;

  /* Whether a frame of an answer was drawn after another conversation was opened: it was on its way then. */
  function isLate(turn) {
    return turn?.dataset.state === "working" && current().turns.at(-1)?.id !== turn.dataset.turn;
  }

  function transcriptChanged() {
    const all = document.querySelectorAll("#transcript .turn");
    const last = all[all.length - 1];
    if (isLate(last)) setTimeout(() => isLate([...document.querySelectorAll("#transcript .turn")].at(-1)) && show(current()), 250);
    $("#workbench")?.classList.toggle("is-busy", busy());
    $("#workbench")?.classList.toggle("is-empty", !all.length);
    if (last) {
      announce(last);
      follow(last, all.length !== turns);
    }
    turns = all.length;
    labelRetry();
    wasBusy = busy();
  }

  function announce(turn) {
    const phase = $(".waiting .phase", turn)?.textContent;
    const text = phase || (wasBusy && !busy() ? $(".answer", turn).innerText : "");
    if (text && text !== spoken) {
      $("#announcer").textContent = text;
      spoken = text;
    }
  }

  /* Keep the end of a growing answer in view, unless the reader has scrolled away from it. */
  let away = false;
  function scroller() {
    const box = $("#transcript");
    return box && box.scrollHeight > box.clientHeight + 1 && getComputedStyle(box).overflowY !== "visible" ? box : null;
  }
  function follow(last, isNew) {
    if (isNew) away = false;
    if (away) return;
    const box = scroller();
    if (box) box.scrollTop = box.scrollHeight;
    else if (isNew) last.scrollIntoView({ block: "start", behavior: reduced() ? "auto" : "smooth" });
  }
  document.addEventListener(
    "scroll",
    (event) => {
      const box = event.target;
      if (box.id === "transcript") away = box.scrollHeight - box.scrollTop - box.clientHeight > 80;
    },
    true,
  );

  function labelRetry() {
    const button = $('#transcript .turn[data-later="0"] [data-action="retry"]');
    if (!button) return;
    const mode = chosenMode();
    const moved = mode && mode !== button.closest(".turn").dataset.mode;
    const label = moved ? `Retry with ${modeLabel(mode)}` : "Retry";
    const text = $("span", button);
    if (text.textContent !== label) text.textContent = label;
    button.setAttribute("aria-label", label);
    button.title = label;
  }

  function setMode(mode) {
    if (!mode) return;
    document.body.dataset.mode = mode;
    for (const input of document.querySelectorAll("#switch input")) input.tabIndex = input.value === mode ? 0 : -1;
    for (const line of document.querySelectorAll("#summary [data-mode]")) line.hidden = line.dataset.mode !== mode;
    labelRetry();
  }

  /* Arrow keys move the switch, as in any group of radio buttons; Gradio gives each of its buttons a group of its own. */
  function moveSwitch(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const inputs = [...document.querySelectorAll("#switch input")];
    const next = inputs[(inputs.indexOf(event.target) + step + inputs.length) % inputs.length];
    event.preventDefault();
    next.click();
    next.focus();
  }

  function edit(turn) {
    const box = $(".question", turn);
    if ($("form", box)) return;
    const text = $(".question-text", box);
    const later = Number(turn.dataset.later);
    const form = document.createElement("form");
    form.className = "edit";
    form.innerHTML =
      '<textarea aria-label="Your question" rows="2"></textarea><p class="notice"></p>' +
      '<div class="edit-buttons"><button type="submit">Ask again</button><button type="button">Cancel</button></div>';
    const area = $("textarea", form);
    area.value = text.textContent;
    $(".notice", form).textContent = later
      ? `The ${later === 1 ? "answer" : `${later} answers`} after this one will be removed.`
      : "";
    const done = () => {
      form.remove();
      box.classList.remove("editing");
      $('[data-action="edit"]', box)?.focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!area.value.trim()) return area.focus();
      done();
      parts.transcript.trigger("edit", { turn: turn.dataset.turn, text: area.value });
    });
    $("button[type=button]", form).addEventListener("click", done);
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") done();
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    box.classList.add("editing");
    box.append(form);
    area.focus();
  }

  async function copy(button) {
    const answer = $(".prose-answer", button.closest(".answer"));
    try {
      await navigator.clipboard.writeText(answer.innerText.trim());
    } catch {
      const range = document.createRange();
      range.selectNodeContents(answer);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
      getSelection().removeAllRanges();
    }
    const text = $("span", button);
    text.textContent = "Copied";
    $("#announcer").textContent = "Copied";
    setTimeout(() => (text.textContent = "Copy"), 1600);
  }

  /* ---- Sources ---- */

  function goTo(id) {
    const target = document.getElementById(id);
    if (!target) return;
    const group = target.closest("details");
    if (group) group.open = true;
    target.classList.add("expanded");
    target.scrollIntoView({ block: group ? "nearest" : "start", behavior: reduced() ? "auto" : "smooth" });
    if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
    target.classList.remove("flash");
    void target.offsetWidth; // Starts the animation anew.
    target.classList.add("flash");
  }

  let opener = null;
  async function openArticle(button) {
    const { source } = button.dataset;
    const place = Object.fromEntries(["start", "end", "page"].map((name) => [name, Number(button.dataset[name] || 0)]));
    const box = $("#article");
    const body = $("#article-body");
    if (!box.contains(button)) opener = button;
    body.innerHTML = '<p class="article-topic">Opening …</p>';
    if (!box.open) box.showModal();
    // A visitor's own documents are with the session, which only an event reaches; `opened` brings the answer.
    if (source.startsWith("yours/")) return parts.documents.trigger("open", { source, ...place });
    try {
      showArticle(await parts.dialog.server.open_article({ source, ...place }));
    } catch {
      showArticle('<p class="error">This article could not be opened. It may have been removed since.</p>');
    }
  }

  function showArticle(html) {
    const body = $("#article-body");
    body.innerHTML = html;
    const here = $(".here", body);
    if (here) body.scrollTop = Math.max(0, here.offsetTop - body.offsetTop - 72);
    else body.scrollTop = 0;
    body.focus({ preventScroll: true });
  }

  /* ---- Results ---- */

  async function openBehind(button) {
    const { mode, about } = button.dataset;
    const box = $("#behind");
    const body = $("#behind-body");
    opener = button;
    body.innerHTML = '<p class="article-topic">Opening …</p>';
    box.showModal();
    try {
      body.innerHTML = await parts.results.server.questions({ mode, about });
    } catch {
      body.innerHTML = '<p class="error">The questions could not be fetched. Please try again.</p>';
    }
    body.scrollTop = 0;
    body.focus({ preventScroll: true });
  }

  /* ---- Drawers and menus ---- */

  const panels = ["conversations", "documents", "settings", "about", "export-menu"];

  function toggle(id, open) {
    for (const name of panels) {
      const panel = document.getElementById(name);
      const button = $(`[aria-controls="${name}"]`);
      if (!panel || !button) continue;
      const shown = name === id && open;
      const was = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(shown));
      if (name === "settings" || name === "documents") panel.classList.toggle("open", shown);
      else panel.hidden = !shown;
      if (shown) {
        if (name === "conversations") listConversations();
        $(".close, button", panel)?.focus();
      } else if (was && panel.contains(document.activeElement)) button.focus();
    }
  }

  async function exportAs(format) {
    const conversation = current();
    const text = await parts.dialog.server.export({ conversation, format });
    download(text, `switchboard-conversation.${format}`);
  }

  const TYPES = { md: "text/markdown", json: "application/json", zip: "application/zip" };

  function download(content, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: TYPES[name.split(".").at(-1)] }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function downloadSaved({ name, base64 }) {
    if (name) download(Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)), name);
  }

  function focusQuestion() {
    $("#question textarea")?.focus();
  }

  /* ---- One listener for everything with data-action ---- */

  const actions = {
    ask: (el) => parts.transcript.trigger("ask_example", { question: el.dataset.question }),
    example: (el) => !busy() && actions.ask(el),
    retry: () => parts.transcript.trigger("retry"),
    undo: () => {
      parts.transcript.trigger("undo");
      focusQuestion();
    },
    edit: (el) => edit(el.closest(".turn")),
    like: (el) => parts.transcript.trigger("rate", { turn: el.closest(".turn").dataset.turn, liked: true }),
    dislike: (el) => parts.transcript.trigger("rate", { turn: el.closest(".turn").dataset.turn, liked: false }),
    copy,
    article: openArticle,
    vote: (el) => parts.board.trigger("vote", { round: el.dataset.round, vote: el.dataset.vote }),
    advice: () => download($("#advice-markdown").value, "switchboard-recommendation.md"),
    print: () => window.print(),
    behind: openBehind,
    "close-behind": () => $("#behind").close(),
    expand: (el) => el.closest(".card").classList.add("expanded"),
    "close-article": () => $("#article").close(),
    "close-drawer": () => toggle("", false),
    new: () => {
      toggle("", false);
      show({ id: newId(), title: "New conversation", turns: [] });
      focusQuestion();
    },
    "open-conversation": (el) => {
      const found = stored().find((one) => one.id === el.dataset.id);
      toggle("", false);
      if (found) show(found);
    },
    "remove-document": (el) => parts.documents.trigger("remove", { source: el.dataset.source }),
    "undo-document": (el) => parts.documents.trigger("undo", { source: el.dataset.source }),
    "edit-document": (el) => {
      parts.documents.trigger("edit", { source: el.dataset.source });
      $("#paste").scrollIntoView({ block: "nearest" });
    },
    "delete-conversation": (el) => {
      store(stored().filter((one) => one.id !== el.dataset.id));
      if (user()) parts.memory.trigger("forget", { id: el.dataset.id });
      if (current().id === el.dataset.id) show({ id: newId(), title: "New conversation", turns: [] });
      listConversations();
      $("#conversation-list button")?.focus();
    },
    export: (el) => {
      if (!el.dataset.format) return toggle("export-menu", el.getAttribute("aria-expanded") !== "true");
      toggle("", false);
      return exportAs(el.dataset.format);
    },
  };
  for (const name of ["conversations", "documents", "settings", "about"])
    actions[name] = (el) => toggle(name, el.getAttribute("aria-expanded") !== "true");
  const WHILE_BUSY = new Set(["retry", "undo", "edit", "like", "dislike", "example", "vote"]);

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a.cite, a.back');
    if (link) {
      event.preventDefault();
      return goTo(link.getAttribute("href").slice(1));
    }
    const el = event.target.closest?.("[data-action]");
    if (el) {
      if (busy() && WHILE_BUSY.has(el.dataset.action)) return;
      return actions[el.dataset.action]?.(el);
    }
    if (event.target.matches?.("#article, #behind")) return event.target.close();
    if (!event.target.closest?.(".drawer, .menu, #settings, #documents, dialog")) toggle("", false);
  });

  document.addEventListener("close", (event) => event.target.matches("#article, #behind") && opener?.focus(), true);

  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key === "Escape" && !$("dialog[open]")) toggle("", false);
      if (event.target.closest?.("#switch")) moveSwitch(event);
      const asking = event.target.closest?.("#question") && event.key === "Enter" && !event.shiftKey;
      if (asking && (busy() || !event.target.value.trim() || event.isComposing)) {
        event.preventDefault();
        event.stopImmediatePropagation();
      }
    },
    true,
  );

  /* Another tab went on with this very conversation: show what it has now. */
  window.addEventListener("storage", (event) => {
    if (event.key !== storeName()) return;
    listConversations();
    const id = current().id;
    const newer = stored().find((one) => one.id === id);
    if (!newer || busy() || $(".question.editing")) return;
    if (JSON.stringify(newer.turns) !== JSON.stringify(current().turns)) show(newer);
  });

  /* ---- Gradio hands its components over ---- */

  function connect(name, part) {
    parts[name] = part;
    if (name === "transcript") part.watch("value", transcriptChanged);
    if (name === "opened") part.watch("value", () => part.props.value && showArticle(part.props.value));
    if (name === "saved") part.watch("value", () => downloadSaved(part.props.value || {}));
    if (name === "recalled") part.watch("value", recall);
    if (name === "memory") {
      part.watch("value", remember);
      restore();
    }
    settle();
    // Gradio may still be drawing the parts that are not ours.
    for (const later of [200, 1000, 3000]) setTimeout(settle, later);
  }

  /* What Gradio's own markup leaves unsaid to a screen reader. */
  function settle() {
    $("#switch")?.setAttribute("role", "radiogroup");
    $("#switch")?.setAttribute("aria-label", "Answer with");
    $("#settings")?.setAttribute("role", "dialog");
    $("#settings")?.setAttribute("aria-label", "Settings");
    $("#documents")?.setAttribute("role", "dialog");
    $("#documents")?.setAttribute("aria-label", "Documents");
    $("#transcript")?.setAttribute("role", "region");
    $("#transcript")?.setAttribute("aria-label", "Conversation");
    $("#transcript")?.setAttribute("tabindex", "0");
    $("#sources")?.setAttribute("role", "complementary");
    $("#sources")?.setAttribute("aria-label", "Sources");
    setMode($("#switch input:checked")?.value);
    transcriptChanged();
  }

  window.switchboard = { connect, setMode };
})();
