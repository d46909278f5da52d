/* Stands between the theme and mermaid, which the theme finds loaded.

   The theme leaves some colours to mermaid, and the distances, with which five actors shrink to fit a page.
   Letters of 16 pixels never shrink below 12: a wider diagram is scrolled. */
{
  const { initialize, render } = mermaid

  mermaid.initialize = config => initialize({
    ...config,
    sequence: { ...config.sequence, actorMargin: 24, width: 116, height: 48, wrap: true },
    themeCSS: `${config.themeCSS}
      marker path { fill: var(--md-mermaid-edge-color) !important; stroke: none !important }
      .actor-line { stroke: var(--md-mermaid-sequence-actor-line-color) !important }
      .messageText, .loopText { paint-order: stroke; stroke: var(--md-default-bg-color) !important; stroke-width: 5px }
    `,
  })

  mermaid.render = async (...given) => {
    const drawn = await render(...given)
    const kept = (found, width) => `${found}; min-width: ${0.75 * width}px`
    return { ...drawn, svg: drawn.svg.replace(/max-width: ([\d.]+)px/, kept) }
  }
}
