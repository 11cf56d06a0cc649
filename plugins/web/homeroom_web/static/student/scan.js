// Reads the picture on the screen with the camera; loaded when somebody taps for it. Only our own links are followed.
const PAUSE = 120;
const WIDTH = 960;

// The page that a picture leads to, or null for a picture that is not one of ours.
function ours(text) {
  let link;
  try {
    link = new URL(text, location.origin);
  } catch {
    return null;
  }
  const is_check_in = link.origin === location.origin && link.pathname === "/check-in";
  return is_check_in && link.searchParams.has("session") && link.searchParams.has("scan") ? link : null;
}

// How to read a picture: by the browser where it can, else by a decoder that is fetched now.
async function reader(decoder) {
  if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return async (video) => (await detector.detect(video)).map((found) => found.rawValue);
  }
  const { default: decode } = await import(decoder);
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  return async (video) => {
    const scale = Math.min(1, WIDTH / video.videoWidth);
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    pen.drawImage(video, 0, 0, canvas.width, canvas.height);
    try {
      return [decode(pen.getImageData(0, 0, canvas.width, canvas.height))];
    } catch {
      return [];  // no picture in this frame
    }
  };
}

async function camera(words, told) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (problem) {
    told.textContent = words[problem.name === "NotAllowedError" ? "refused" : "no-camera"];
    return null;
  }
}

export async function scan(place, words, told) {
  const stream = await camera(words, told);
  if (!stream) return;
  const view = place.querySelector(".camera");
  const video = view.querySelector("video");
  let going = true;
  const stop = () => {
    going = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    view.hidden = true;
  };
  view.querySelector("button").onclick = stop;
  addEventListener("pagehide", stop, { once: true });
  try {
    video.srcObject = stream;
    view.hidden = false;
    told.textContent = words.looking;
    await video.play();
    const read = await reader(place.dataset.decoder);
    while (going) {
      for (const text of video.videoWidth ? await read(video) : []) {
        const link = ours(text);
        if (link) { told.textContent = words.found; stop(); location.assign(link.pathname + link.search); return; }
        told.textContent = words.strange;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    told.textContent = "";
  } catch (problem) {
    if (going) throw problem;
  } finally {
    stop();
  }
}
