// Search in a page that was opened from a folder, without a server: browsers refuse a Worker there. An invisible frame
// runs the worker's script instead.
class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    this.frame = document.createElement("iframe")
    this.frame.hidden = true
    document.body.append(this.frame)
    this.listen = event => {
      if (event.source !== this.frame.contentWindow) return
      const message = new MessageEvent("message", { data: event.data })
      this.dispatchEvent(message)
      if (this.onmessage) this.onmessage(message)
    }
    addEventListener("message", this.listen)
    this.ready = new Promise(resolve => this.frame.addEventListener("load", resolve))
    const inner = this.frame.contentDocument
    inner.open()
    inner.write(`<script>
      var postMessage = data => parent.postMessage(data, "*")
      var importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, fail) => {
        const script = document.createElement("script")
        Object.assign(script, { src: url, onload: done, onerror: fail })
        document.body.append(script)
      })), Promise.resolve())
    <` + `/script><body><script src="${url}"><` + `/script>`)
    inner.close()
  }

  postMessage(data) {
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
  }

  terminate() {
    removeEventListener("message", this.listen)
    this.frame.remove()
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker
