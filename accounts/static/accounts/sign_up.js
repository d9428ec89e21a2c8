// Sends this device's time zone along when somebody signs up.
"use strict";

document.querySelector("[data-zone]").value = Intl.DateTimeFormat().resolvedOptions().timeZone;
