// The eyes of look_at_docs.py: loaded into each page before its own scripts.

// The theme draws diagrams where only its own script can look, unless it is made to leave them open.
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) {
  return attach.call(this, { ...options, mode: "open" });
};

window.look = (() => {
  const wider = box => box.scrollWidth > box.clientWidth + 1;
  const inContent = selector => [...document.querySelectorAll(`.md-content ${selector}`)];
  const longestLine = text => text.split("\n").reduce((a, b) => (b.length > a.length ? b : a)).slice(0, 70);

  // Colours: as channels from 0 to 255, with an alpha.
  const parsed = text => {
    const found = text.match(/^rgba?\(([^)]*)\)$/);
    const [r, g, b, alpha = 1] = found ? found[1].split(/[\s,/]+/).map(Number) : [0, 0, 0, 0];
    return { channels: [r, g, b], alpha };
  };
  const over = (above, below) => below.map((part, n) => above.alpha * above.channels[n] + (1 - above.alpha) * part);
  const luminance = channels =>
    channels
      .map(part => part / 255)
      .map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const contrast = (one, other) => {
    const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };

  const ownText = element =>
    element.localName === "text"
      ? element.textContent.trim()
      : [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE).map(node => node.data).join("").trim();

  // The colour behind the middle of an element of a diagram: everything that is filled there, upon the page.
  const ground = (element, root) => {
    const box = element.getBoundingClientRect();
    const isFilled = other => root.contains(other) && !["text", "tspan", "svg", "line"].includes(other.localName);
    const below = root.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2).filter(isFilled);
    return below.reverse().reduce((colour, other) => {
      const style = getComputedStyle(other);
      const isShape = other instanceof SVGGeometryElement;
      const fill = parsed(isShape ? style.fill : style.backgroundColor);
      if (isShape) fill.alpha *= style.fillOpacity * style.opacity;
      return over(fill, colour);
    }, parsed(getComputedStyle(document.body).backgroundColor).channels);
  };

  return {
    // Choose the theme as a reader does, by the button: diagrams have to follow.
    choose(theme) {
      const scheme = { light: "default", dark: "slate" }[theme];
      const button = document.querySelector('[data-md-component="palette"] label:not([hidden])');
      if (document.body.dataset.mdColorScheme !== scheme) button.click();
      if (document.body.dataset.mdColorScheme !== scheme) throw new Error("the theme can't be changed");
      document.activeElement.blur();
    },

    layout() {
      for (const closed of document.querySelectorAll("details")) closed.open = true;
      const screen = document.documentElement.clientWidth;
      const scrolls = element => !["visible", "clip"].includes(getComputedStyle(element).overflowX);
      const isBeyond = element => {
        const box = element.getBoundingClientRect();
        if (!box.width || box.right <= screen + 1) return false;
        for (let above = element.parentElement; above && above !== document.body; above = above.parentElement)
          if (scrolls(above)) return false;
        return true;
      };
      const isWide = document.documentElement.scrollWidth > screen + 1;
      const beyond = isWide ? inContent("*").filter(isBeyond).slice(0, 3).map(one => one.outerHTML.slice(0, 80)) : [];
      return {
        height: document.documentElement.scrollHeight,
        beyond: isWide ? [...beyond, "the page"] : [],
        code: inContent("pre > code").filter(wider).map(code => longestLine(code.innerText)),
        tables: inContent(":is(.md-typeset__scrollwrap, table)").filter(wider).map(table => table.innerText.slice(0, 50)),
        broken: [...document.images].filter(one => one.complete && !one.naturalWidth).map(one => one.src),
        unstyled: [...document.querySelectorAll("link[rel=stylesheet]")].filter(link => !link.sheet).length,
      };
    },

    diagrams() {
      const found = [];
      for (const host of document.querySelectorAll("div.mermaid")) {
        const drawing = host.shadowRoot.querySelector("svg");
        const box = host.getBoundingClientRect();
        const texts = [];
        for (const element of drawing.querySelectorAll("text, foreignObject *")) {
          const text = ownText(element);
          if (!text) continue;
          element.scrollIntoView({ block: "center", inline: "center" });
          const style = getComputedStyle(element.querySelector("tspan") ?? element);
          const ink = parsed(element instanceof SVGElement ? style.fill : style.color);
          const behind = ground(element, host.shadowRoot);
          texts.push({
            text: text.slice(0, 40),
            size: parseFloat(style.fontSize) * drawing.getScreenCTM().a,
            contrast: contrast(over(ink, behind), behind),
          });
        }
        host.parentElement.scrollLeft = 0;
        found.push({ side: Math.min(box.width, box.height), texts });
      }
      scrollTo(0, 0);
      return found;
    },
  };
})();
