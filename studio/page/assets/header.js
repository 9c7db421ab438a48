// The page's name and what it is for, in the visitor's language.
const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
element.querySelector("h1").textContent = props.texts[language].title;
element.querySelector("p").textContent = props.texts[language].tagline;
document.title = props.texts[language].title;
document.documentElement.lang = language;
