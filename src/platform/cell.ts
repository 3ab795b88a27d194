// What a supervisor starts that began before there was cell.js.
import './cell.js';
