// What `make lint-js` looks for in the JavaScript of widgets and site.
import js from '@eslint/js';

const BROWSER = ['Blob', 'MutationObserver', 'Node', 'Plotly',
  'URL', 'atob', 'clearInterval',
  'createImageBitmap', 'devicePixelRatio', 'document', 'getComputedStyle',
  'requestAnimationFrame', 'setInterval', 'setTimeout'];

export default [
  js.configs.recommended,
  {
    files: ['ssr_nb/**/*.js'],
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: 'module',
      globals: Object.fromEntries(BROWSER.map(name => [name, 'readonly'])),
    },
    rules: {
      eqeqeq: 'error',
      'no-shadow': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {  // pasted into a page whole, where it is called
    files: ['ssr_nb/_dev/*.js'],
    languageOptions: {sourceType: 'script'},
    rules: {'no-unused-vars': ['error', {vars: 'local'}]},
  },
];
