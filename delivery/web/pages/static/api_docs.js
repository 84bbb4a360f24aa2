SwaggerUIBundle({
  url: "v1/openapi.json", // beside this page, wherever a proxy shows it
  dom_id: "#api",
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null, // it would send the description elsewhere
});
