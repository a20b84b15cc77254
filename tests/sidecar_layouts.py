"""Sidecars as the programs lay them out: their headers, namespaces, short and long forms."""

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'

NAMESPACES = {
    "exif": "http://ns.adobe.com/exif/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "darktable": "http://darktable.sf.net/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
}


def xmlns(*prefixes):
    """The declarations of namespaces, a line each."""
    return "\n    ".join(f'xmlns:{p}="{NAMESPACES[p]}"' for p in prefixes)


DARKTABLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {xmlns("exif", "xmp", "xmpMM", "darktable", "dc", "lr")}
   exif:DateTimeOriginal="2024:06:01 18:04:11.250"
   xmp:Rating="1"
   xmpMM:DerivedFrom="IMG_0001.CR2"
   darktable:import_timestamp="63853369451234567"
   darktable:xmp_version="5"
   darktable:history_end="2"
   darktable:iop_order_version="4">
   <darktable:masks_history><rdf:Seq/></darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:params="00000000000080b90000003f"
      darktable:multi_name=""
      darktable:blendop_params="gz11eJxjYGBgkGAAgRNODGiAEV0AJ2iwh+CRyscOAAdeGQQ="/>
     <rdf:li
      darktable:num="1"
      darktable:operation="filmicrgb"
      darktable:params="gz09"/>
    </rdf:Seq>
   </darktable:history>
   <dc:subject><rdf:Bag><rdf:li>Küste</rdf:li></rdf:Bag></dc:subject>
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>Orte|Küste</rdf:li></rdf:Bag></lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {xmlns("xmp", "photoshop", "xmpMM", "stEvt", "dc", "crs")}
   xmp:ModifyDate="2024-06-01T18:04:11.25+02:00" xmp:Label="Red"
   photoshop:SidecarForExtension="CR2" crs:HasSettings="True" crs:Exposure2012="+0.35">
   <xmpMM:History>
    <rdf:Seq>
     <rdf:li stEvt:action="saved" stEvt:instanceID="xmp.iid:1" stEvt:changed="/metadata"/>
     <rdf:li rdf:parseType="Resource"><stEvt:action>derived</stEvt:action></rdf:li>
    </rdf:Seq>
   </xmpMM:History>
   <dc:description><rdf:Alt><rdf:li xml:lang="de-DE">Das Meer</rdf:li></rdf:Alt></dc:description>
   <crs:ToneCurvePV2012>
    <rdf:Seq><rdf:li>0, 0</rdf:li><rdf:li>255, 255</rdf:li></rdf:Seq>
   </crs:ToneCurvePV2012>
   <crs:Look>
    <rdf:Description crs:Name="Adobe Color" crs:Amount="1">
     <crs:Parameters><rdf:Description crs:Version="15.0"/></crs:Parameters>
    </rdf:Description>
   </crs:Look>
   <crs:MaskGroupBasedCorrections>
    <rdf:Seq>
     <rdf:li>
      <rdf:Description crs:What="Correction" crs:CorrectionAmount="1">
       <crs:CorrectionMasks>
        <rdf:Seq><rdf:li crs:What="Mask/Image" crs:Dabs=""/></rdf:Seq>
       </crs:CorrectionMasks>
      </rdf:Description>
     </rdf:li>
    </rdf:Seq>
   </crs:MaskGroupBasedCorrections>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""

DIGIKAM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {xmlns("digiKam", "MicrosoftPhoto", "dc", "mwg-rs", "stArea")}
   digiKam:PickLabel="0"
   digiKam:ColorLabel="3"
   MicrosoftPhoto:Rating="0">
   <digiKam:TagsList><rdf:Seq><rdf:li>People/Ada</rdf:li></rdf:Seq></digiKam:TagsList>
   <dc:subject><rdf:Bag><rdf:li>Ada</rdf:li></rdf:Bag></dc:subject>
   <dc:title>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">A &amp; B &lt; C</rdf:li>
     <rdf:li xml:lang="fr-FR">À l’aube</rdf:li>
    </rdf:Alt>
   </dc:title>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Ada" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:x="0.5" stArea:y="0.25" stArea:w="0.1" stArea:h="0.2"/>
       </rdf:Description>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

EXIFTOOL = f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF {RDF}>

 <rdf:Description rdf:about=''
  xmlns:Iptc4xmpCore='http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/'>
  <Iptc4xmpCore:CreatorContactInfo rdf:parseType='Resource'>
   <Iptc4xmpCore:CiEmailWork>ada@example.org</Iptc4xmpCore:CiEmailWork>
  </Iptc4xmpCore:CreatorContactInfo>
 </rdf:Description>

 <rdf:Description rdf:about=''
  xmlns:exif='http://ns.adobe.com/exif/1.0/'>
  <exif:GPSLatitude>48,12.5N</exif:GPSLatitude>
  <exif:UserComment>
   <rdf:Alt><rdf:li xml:lang='x-default'>seen at dawn</rdf:li></rdf:Alt>
  </exif:UserComment>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
{" " * 99}
<?xpacket end='w'?>"""

STRANGER = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about="uuid:faf5bdd5-ba3d-11da-ad31-d33d75182f1b"
    xmlns:my="https://example.org/fields/" my:empty="" my:sign="© 2024 &#x1F33B;">
   <my:qualified><rdf:Description><rdf:value>v</rdf:value><my:by>Ada</my:by></rdf:Description>
   </my:qualified>
   <my:greeting xml:lang="fr">bonjour</my:greeting>
   <my:link rdf:resource="https://example.org/a"/>
   <my:lines>one
two  </my:lines>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""

LAYOUTS = {
    "darktable": DARKTABLE.encode(),
    "lightroom": LIGHTROOM.encode(),
    "digikam": DIGIKAM.encode(),
    "exiftool": EXIFTOOL.encode(),
    "stranger": STRANGER.encode(),
    "mark": b"\xef\xbb\xbf" + LIGHTROOM.encode(),
    "utf16-little": b"\xff\xfe" + DIGIKAM.encode("utf-16-le"),
    "utf16-big": b"\xfe\xff" + DARKTABLE.replace("UTF-8", "UTF-16").encode("utf-16-be"),
}
"""Name to a sidecar's bytes."""
