// Show the document that the page names, with requests that can be tried in the same session.
"use strict";

const main = document.getElementById("openapi");
const cookie = (name) =>
  document.cookie.split("; ").find((each) => each.startsWith(`${name}=`))?.split("=")[1] ?? "";

window.SwaggerUIBundle({
  domNode: main,
  url: new URL(main.dataset.document, document.baseURI).href,
  deepLinking: true,
  defaultModelsExpandDepth: -1,
  validatorUrl: null,
  requestInterceptor(request) {
    if (new URL(request.url, document.baseURI).origin === location.origin) {
      request.headers["X-CSRFToken"] = cookie("csrftoken");
    }
    return request;
  },
});
