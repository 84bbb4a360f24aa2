SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#api",
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null, // it would send the description elsewhere
});
