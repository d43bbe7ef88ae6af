// What the page says, in English and Chinese. A key is looked up in the chosen language and then in English.

/** @type {Record<string, Record<string, string>>} */
export const TEXTS = {
  en: {
    language: "中文",
    languageName: "中文: switch to Chinese",
    theme: "Light or dark",
    tools: "What a touch does",
    listen: "Listen",
    box: "Box",
    brush: "Brush",
    knock: "Knock",
    listenHelp: "Touch a coloured part to hear it alone. Touch it again to hear everything.",
    knockHelp: "Touch to knock. Or press, pull back and let go: how far is how hard, and where from is the direction.",
    boxHelp: "Drag a box around what you want to hear.",
    brushHelp: "Paint over what you want to hear.",
    keysHelp: "Arrow keys move the cursor, Enter touches, plus and minus zoom.",
    picture: "Picture. {help}",
    cursor: "{x} % from the left, {y} % from the top",
    zoomIn: "Zoom in",
    zoomOut: "Zoom out",
    zoomReset: "Show all of it",
    mallet: "Mallet",
    felt: "felt",
    wood: "wood",
    steel: "steel",
    force: "Force",
    play: "Play",
    stop: "Stop",
    volume: "Volume",
    stems: "What sounds",
    part: "Part {n}",
    bed: "All around",
    sure: "{percent} % sure",
    mute: "Mute {name}",
    muteShort: "Mute",
    solo: "Solo: {name} alone",
    soloShort: "Solo",
    level: "Level of {name}",
    nothing: "Nothing here is known to sound; what you hear is ambience.",
    struck: "What you struck",
    notYet: "Knock somewhere on the picture to hear what the model thinks is there, and change it.",
    pitch: "pitch",
    between: "{low} to {high} Hz in 80 % of cases",
    rings: "rings",
    weighs: "weighs",
    large: "size",
    hollow: "hollow",
    materialCode: "material code",
    seenCode: "as seen ({code})",
    otherCode: "code {code}",
    surround: "beside the object: a slab of what is there",
    away: "This pull points out of the surface. Pull from the other side.",
    factorMass: "Mass",
    factorStiffness: "Stiffness",
    factorSize: "Size",
    factorDamping: "Damping",
    again: "Knock again",
    reset: "As seen",
    scope: "The last knock: its wave, and below its spectrogram with the modes as lines",
    walk: "Walk",
    walkHelp: "Drag yourself, or the dot in front of you to turn. Arrow keys walk, Q and E turn.",
    walkOn: "Hear it from there",
    plan: "Map of the scene. {help}",
    listener: "You: {x} m to the right, {z} m ahead, turned {yaw}° to the left",
    record: "Record a path",
    recordStop: "End the path",
    replay: "Walk it again",
    home: "Back to the camera",
    camera: "camera",
    metres: "{n} m",
    about: "Sounds are made from the picture alone by {models}; seed {seed}. Licence of the weights: {licences}.",
    aboutEars: "Ears: KEMAR, Gardner and Martin, 1995. Distances are guesses from where things meet the ground.",
    offline: "This page holds everything it needs. It asks nothing of any network.",
    gallery: "Pictures to hear",
    galleryHelp: "Each page holds its picture and its sounds. Open one, touch a coloured part, knock, walk.",
  },
  zh: {
    language: "English",
    languageName: "English：切换到英文",
    theme: "浅色或深色",
    tools: "点按的作用",
    listen: "聆听",
    box: "框选",
    brush: "画笔",
    knock: "敲击",
    listenHelp: "点按有颜色的部分，单独听它；再点一次，听全部。",
    knockHelp: "点按即敲击。或按住、向后拉再松开：拉得越远敲得越重，从哪边拉就从哪边敲。",
    boxHelp: "拖出一个框，圈住想听的部分。",
    brushHelp: "涂抹想听的部分。",
    keysHelp: "方向键移动光标，回车键点按，加号和减号缩放。",
    picture: "图片。{help}",
    cursor: "距左 {x}%，距上 {y}%",
    zoomIn: "放大",
    zoomOut: "缩小",
    zoomReset: "显示全图",
    mallet: "槌",
    felt: "毛毡",
    wood: "木",
    steel: "钢",
    force: "力度",
    play: "播放",
    stop: "停止",
    volume: "音量",
    stems: "发声之处",
    part: "部分 {n}",
    bed: "四周",
    sure: "把握 {percent}%",
    mute: "静音{name}",
    muteShort: "静音",
    solo: "独奏：只听{name}",
    soloShort: "独奏",
    level: "{name}的音量",
    nothing: "这里没有已知会发声的东西；您听到的是环境声。",
    struck: "敲到了什么",
    notYet: "在图片上敲一敲，听听模型认为那里是什么，再改变它。",
    pitch: "音高",
    between: "八成情况在 {low} 至 {high} 赫兹之间",
    rings: "余音",
    weighs: "重量",
    large: "大小",
    hollow: "中空",
    materialCode: "材质编码",
    seenCode: "所见（{code}）",
    otherCode: "编码 {code}",
    surround: "物体之外：那里的一块板",
    away: "这一拉指向表面之外，请从另一侧拉。",
    factorMass: "质量",
    factorStiffness: "刚度",
    factorSize: "尺寸",
    factorDamping: "阻尼",
    again: "再敲一次",
    reset: "恢复所见",
    scope: "最近一次敲击：上为波形，下为声谱，线为各振动模态",
    walk: "走动",
    walkHelp: "拖动自己，拖动面前的圆点可转身。方向键行走，Q 和 E 转身。",
    walkOn: "从那里听",
    plan: "场景平面图。{help}",
    listener: "您：向右 {x} 米，向前 {z} 米，左转 {yaw}°",
    record: "录制路线",
    recordStop: "结束路线",
    replay: "重走一遍",
    home: "回到相机",
    camera: "相机",
    metres: "{n} 米",
    about: "声音仅由图片生成，模型：{models}；种子 {seed}。权重许可：{licences}。",
    aboutEars: "双耳：KEMAR，Gardner 与 Martin，1995。距离由物体与地面相接处推测。",
    offline: "本页自含一切，不访问任何网络。",
    gallery: "可以听的图片",
    galleryHelp: "每页自含图片与声音。打开一页，点按有颜色的部分，敲一敲，走一走。",
  },
};

/** Chooses the language and says things in it. Dispatches `language` when it changes. */
export class Texts extends EventTarget {
  #language = "en";

  /** @param {string} [language] a tag such as zh-CN; by default the browser's */
  constructor(language = globalThis.navigator?.language ?? "en") {
    super();
    this.#language = language.toLowerCase().startsWith("zh") ? "zh" : "en";
  }

  get language() {
    return this.#language;
  }

  set language(language) {
    if (!(language in TEXTS)) throw new RangeError(`There is no language ${language}.`);
    this.#language = language;
    this.dispatchEvent(new Event("language"));
  }

  /** The other language. */
  toggle() {
    this.language = this.#language === "en" ? "zh" : "en";
  }

  /**
   * @param {string} key
   * @param {Record<string, string | number>} [values] for the names in braces
   */
  say(key, values = {}) {
    const text = TEXTS[this.#language][key] ?? TEXTS.en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
  }

  /**
   * Writes texts into all elements below `root` that have `data-text` (their text) or `data-label` (for screen readers).
   *
   * @param {ParentNode} root
   */
  apply(root) {
    for (const element of root.querySelectorAll("[data-text]")) {
      element.textContent = this.say(element.getAttribute("data-text") ?? "");
    }
    for (const element of root.querySelectorAll("[data-label]")) {
      const said = this.say(element.getAttribute("data-label") ?? "");
      element.setAttribute("aria-label", said);
      element.setAttribute("title", said);
    }
  }
}
