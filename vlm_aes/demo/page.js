// What the page does by itself; all of it works on elements that come and go.
(() => {
  const visible = (e) => e && e.offsetParent !== null;

  // Hand files to one of the upload fields, as if they had been chosen there.
  const hand = (field, files) => {
    const input = field.querySelector('input[type="file"]');
    if (!input) return;
    const data = new DataTransfer();
    for (const file of files) data.items.add(file);
    input.files = data.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  };

  document.addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((f) => f.type.startsWith('image/'));
    const field = [...document.querySelectorAll('.drop')].find(visible);
    if (files.length && field) hand(field, files);
  });

  // A camera where the browser has one; elsewhere the chooser of the device, which may be one too.
  const photograph = async (field) => {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1920 } } });
    } catch {
      const input = Object.assign(document.createElement('input'), { type: 'file', accept: 'image/*' });
      input.setAttribute('capture', 'environment');
      input.onchange = () => hand(field, input.files);
      input.click();
      return;
    }
    const dialog = document.createElement('dialog');
    dialog.className = 'camera';
    dialog.setAttribute('aria-label', 'Camera');
    dialog.innerHTML = '<video autoplay playsinline muted></video><div><button type="button" value="take">Take it</button><button type="button" value="close">Close</button></div>';
    const video = dialog.querySelector('video');
    video.srcObject = stream;
    dialog.addEventListener('close', () => { stream.getTracks().forEach((t) => t.stop()); dialog.remove(); });
    dialog.querySelector('[value=close]').onclick = () => dialog.close();
    dialog.querySelector('[value=take]').onclick = () => {
      const canvas = Object.assign(document.createElement('canvas'), { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext('2d').drawImage(video, 0, 0);
      canvas.toBlob((blob) => { hand(field, [new File([blob], 'camera.jpg', { type: 'image/jpeg' })]); dialog.close(); }, 'image/jpeg', 0.95);
    };
    document.body.append(dialog);
    dialog.showModal();
  };

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-camera]');
    if (button) photograph(document.getElementById(button.dataset.camera));
  });

  // The curtain between before and after.
  document.addEventListener('input', (event) => {
    const curtain = event.target.closest('.curtain');
    if (curtain) curtain.style.setProperty('--cut', `${event.target.value}%`);
  });

  // Stars by keyboard: 1 to 5 rate, the arrows go back and forth.
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest('input, textarea, select, [role="tab"], [role="radio"], [contenteditable]')) return;
    const names = { ArrowLeft: 'teach-back', ArrowRight: 'teach-on' };
    const name = /^[1-5]$/.test(event.key) ? `teach-star-${event.key}` : names[event.key];
    const button = name && document.getElementById(name);
    if (visible(button)) { event.preventDefault(); (button.closest('button') ?? button.querySelector('button') ?? button).click(); }
  });
})();
