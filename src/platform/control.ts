// What a supervisor starts that began before there was control.js.
import './control.js';
