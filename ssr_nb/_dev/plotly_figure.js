// A figure of plotly in the place of the picture above it, in the page's colours.
function showFigure({data, layout, config}) {
  const place = document.currentScript.parentElement.querySelector('.plotly');
  const still = place.closest('section, div.cell, article')
    .querySelectorAll('.cell_output img');
  const above = [...still].filter(image =>
    image.compareDocumentPosition(place) & Node.DOCUMENT_POSITION_FOLLOWING).pop();
  const draw = () => Plotly.react(place, data, {...layout,
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: {...layout.font, color: getComputedStyle(document.body).color}},
    {responsive: true, displaylogo: false, ...config});
  draw().then(() => { if (above) above.hidden = true; });
  new MutationObserver(draw).observe(document.documentElement,
    {attributes: true, attributeFilter: ['data-theme']});
}
