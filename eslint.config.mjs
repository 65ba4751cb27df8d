// What `make lint-js` looks for in the front ends of the widgets.
import js from '@eslint/js';

const BROWSER = ['Blob', 'MutationObserver', 'clearInterval', 'createImageBitmap',
  'devicePixelRatio', 'document', 'getComputedStyle', 'requestAnimationFrame',
  'setInterval', 'setTimeout'];

export default [
  js.configs.recommended,
  {
    files: ['**/*.js'],
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: 'module',
      globals: Object.fromEntries(BROWSER.map(name => [name, 'readonly'])),
    },
    rules: {
      eqeqeq: 'error',
      'no-implicit-globals': 'error',
      'no-shadow': 'error',
      'no-unused-vars': 'error',
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
];
