"use strict";
{% include "viewer.js" %}

{% include "mistakes.js" %}
