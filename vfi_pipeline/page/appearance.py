"""How the page looks: one style sheet. No fonts or pictures from elsewhere; every text is legible in light and dark."""

CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto; padding: 0 16px 48px !important; }
.gradio-container .html-container { padding: 0 !important; }
#vfi-top h1 { font-size: 1.35rem; font-weight: 650; margin: 14px 0 0; letter-spacing: -0.01em; }
#vfi-top p { margin: 2px 0 6px; color: var(--body-text-color-subdued); font-size: .95rem; }
.vfi-section { font-size: 1.02rem; font-weight: 650; margin: 6px 0 0; }
.vfi-film { font-size: 1.02rem; font-weight: 650; margin: 0 0 6px; overflow-wrap: anywhere; }
.vfi-plan { padding: 2px 0; }
.vfi-facts, .vfi-facts tr { border: 0 !important; }
.vfi-facts { border-collapse: collapse; width: 100%; font-size: .92rem; }
.vfi-facts th { text-align: left; font-weight: 500; color: var(--body-text-color-subdued); width: 5.6rem;
  padding: 3px 10px 3px 0 !important; vertical-align: top; border: 0 !important; }
.vfi-facts td { padding: 3px 0 !important; border: 0 !important; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.vfi-head { font-weight: 600; font-size: .92rem; margin: 10px 0 2px; overflow-wrap: anywhere; }
.vfi-streams, .vfi-notes { list-style: none; margin: 0; padding: 0; font-size: .9rem; }
.vfi-streams li, .vfi-notes li { padding: 1px 0 1px 1.5em; position: relative; overflow-wrap: anywhere; }
.vfi-streams li::before { position: absolute; left: 0; font-weight: 700; }
.vfi-kept::before { content: "\\2713"; color: #15803d; }
.vfi-lost::before { content: "\\2717"; color: #b91c1c; }
.vfi-notes li::before { content: "\\2022"; position: absolute; left: .3em; }
.vfi-line { font-size: .9rem; color: var(--body-text-color-subdued); overflow-wrap: anywhere; padding: 2px 0; }
.vfi-error { border-left: 4px solid #b91c1c; background: #fef2f2; color: #7f1d1d; padding: 8px 12px; border-radius: 4px;
  font-size: .93rem; overflow-wrap: anywhere; }
.vfi-error .vfi-remedy { margin-top: 2px; color: #991b1b; }
.dark .vfi-error { background: #3b1113; color: #fecaca; } .dark .vfi-error .vfi-remedy { color: #fca5a5; }
.vfi-note { border-left: 4px solid #15803d; background: #f0fdf4; color: #14532d; padding: 8px 12px; border-radius: 4px;
  font-size: .93rem; overflow-wrap: anywhere; }
.dark .vfi-note { background: #0d2818; color: #bbf7d0; }
.vfi-stale { border-left: 4px solid #b45309; background: #fffbeb; color: #78350f; padding: 8px 12px; border-radius: 4px;
  font-size: .93rem; }
.dark .vfi-stale { background: #33230a; color: #fde68a; }
.vfi-empty { border: 1px dashed var(--border-color-primary); border-radius: 8px; padding: 22px 16px; text-align: center;
  color: var(--body-text-color-subdued); font-size: .93rem; display: flex; flex-direction: column; gap: 2px; }
.vfi-empty strong { color: var(--body-text-color); font-weight: 600; }
.vfi-cut { display: flex; gap: 2px; } .vfi-cut img { width: 50%; border-radius: 3px; display: block; }
.vfi-cuts { display: grid !important; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 10px; }
.vfi-cuts > * { min-width: 0 !important; }
.vfi-thumbs { display: grid; grid-template-columns: repeat(auto-fill, minmax(110px, 1fr)); gap: 10px; }
.vfi-thumbs figure { margin: 0; } .vfi-thumbs img { width: 100%; border-radius: 4px; display: block; }
.vfi-thumbs figcaption { font-size: .8rem; color: var(--body-text-color-subdued); overflow-wrap: anywhere; }
.vfi-hidden, .form:has(> .vfi-hidden) { display: none !important; }
.vfi-cuts label span { font-size: .84rem; }
.vfi-job { padding: 2px 0; }
.vfi-job-head { display: flex; flex-wrap: wrap; gap: 2px 10px; align-items: baseline; font-size: .94rem; }
.vfi-number { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; min-width: 1.2em; }
.vfi-title { font-weight: 600; overflow-wrap: anywhere; }
.vfi-state { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; margin-left: auto; }
.vfi-state.vfi-done { color: #15803d; } .vfi-state.vfi-failed { color: #b91c1c; }
.dark .vfi-state.vfi-done { color: #4ade80; } .dark .vfi-state.vfi-failed { color: #f87171; }
.vfi-bar { height: 6px; border-radius: 3px; background: var(--border-color-primary); margin: 6px 0 2px;
  overflow: hidden; }
.vfi-bar div { height: 100%; background: #2563eb; transition: width .6s; }
.vfi-job .vfi-error { margin-top: 6px; }
.vfi-job-box { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 10px 12px !important;
  gap: 6px !important; background: var(--block-background-fill); }
.vfi-buttons { gap: 8px !important; flex-wrap: wrap !important; align-items: center; }
.vfi-buttons > * { flex: 0 1 auto !important; min-width: 0 !important; width: auto !important; max-width: 100%; }
.vfi-small { min-height: 32px !important; padding: 4px 14px !important; width: auto !important;
  align-self: flex-start; }
.vfi-download { font-size: .9rem; color: #1d4ed8; text-decoration: underline; overflow-wrap: anywhere; }
.dark .vfi-download { color: #93c5fd; }
.vfi-player { width: 100%; max-height: 70vh; background: #000; border-radius: 6px; display: block; }
img.vfi-player { object-fit: contain; }
.vfi-log { max-height: 22rem; overflow: auto; font-size: .82rem; background: var(--background-fill-secondary);
  border-radius: 6px; padding: 10px; white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
:focus-visible { outline: 2px solid #2563eb !important; outline-offset: 2px; }
@media (max-width: 640px) {
  .gradio-container { padding: 0 8px 32px !important; }
  .vfi-state { margin-left: 0; flex-basis: 100%; }
  .vfi-facts th { width: 4.4rem; }
}
"""
