using System.Collections.Immutable;
using System.Drawing;
using System.Runtime.InteropServices;
using Microsoft.ML.Data;
using SkiaSharp;
using static Microsoft.ML.Transforms.Image.ImageResizingEstimator;

namespace Microsoft.ML.RepVgg.Input.Images;

/// <summary>Brings images to the size of the network, as planes (CHW) of bytes: red, green and blue, or grey.</summary>
/// <remarks>
/// <para>
/// The colours and alpha values are those of ML.NET's ResizeImages, ConvertToGrayscale and ExtractPixels, which a saved model
/// contains: the same operations of Skia compute them. An image that has the size already is not resized. The image is read without a copy, and is not changed.
/// </para>
/// <para>
/// The resized image is put on a background, as <see cref="PixelPlanes"/> defines. The pixels that IsoPad adds are transparent, so they
/// get the colour of the background. So does the last row or column of some images with IsoCrop and IsoPad, because ML.NET rounds the scaled size
/// down. An image whose alpha is 0 everywhere after resizing counts as opaque.
/// </para>
/// <para>
/// With a crop fraction, the image is resized to a larger size and put on the background, and then the middle is cut out, as the graph of a saved model
/// does it (<see cref="global::RepVgg.Weights.Onnx.OnnxCrop"/>).
/// </para>
/// <para>An instance reuses its memory and serves one thread at a time.</para>
/// </remarks>
internal sealed class ImageResizer : IDisposable
{
    private const float RedWeight = 0.3f, GreenWeight = 0.59f, BlueWeight = 0.11f;

    // The size to which images are resized, before the middle is cut out.
    private readonly int _height;
    private readonly int _width;
    private readonly CenterCrop _crop;
    // Null: the image is stretched to the size with interpolation.
    private readonly ResizingKind? _kind;
    private readonly Anchor _anchor;
    private readonly ImmutableArray<byte> _background;
    private readonly SKPaint _resizing = new() { FilterQuality = SKFilterQuality.High };
    private readonly SKPaint? _greying;
    private readonly Surface? _grey;
    private Surface? _resized;
    private byte[]? _alpha;
    private readonly byte[] _uncropped = [];
    private SKBitmap? _filled;

    /// <param name="height">Height of the network's input in pixels.</param>
    /// <param name="width">Width of the network's input in pixels.</param>
    /// <param name="kind">How images of another size are resized.</param>
    /// <param name="anchor">Which part of an image IsoCrop keeps.</param>
    /// <param name="background">Values of the background, from <see cref="Background"/>: three for a colour network, one for a grey network.</param>
    /// <param name="cropFraction">Share of the resized image's height and width that is kept, in the middle; more than 0 and at most 1.</param>
    public ImageResizer(int height, int width, ResizingKind kind, Anchor anchor, ImmutableArray<byte> background, double cropFraction = 1)
        : this(CenterCrop.Of(height, width, cropFraction), kind, anchor, background)
    {
    }

    private ImageResizer(CenterCrop crop, ResizingKind? kind, Anchor anchor, ImmutableArray<byte> background)
    {
        var (height, width) = (crop.ResizedHeight, crop.ResizedWidth);
        (_crop, _height, _width, _kind, _anchor, _background) = (crop, height, width, kind, anchor, background);
        if (!_crop.IsWhole)
            _uncropped = new byte[background.Length * height * width];
        if (background.Length != 1)
            return;
        _grey = new Surface(width, height);
        // Premultiplied colours are converted with their alpha values, as ML.NET does.
        using var filter = SKColorFilter.CreateColorMatrix(
        [
            RedWeight, GreenWeight, BlueWeight, 0, 0,
            RedWeight, GreenWeight, BlueWeight, 0, 0,
            RedWeight, GreenWeight, BlueWeight, 0, 0,
            0, 0, 0, 1, 0,
        ]);
        _greying = new SKPaint { FilterQuality = SKFilterQuality.High, ColorFilter = filter };
    }

    /// <summary>Creates a resizer that stretches whole images to a size, with the interpolation of IsoCrop and without rounding the size down.</summary>
    /// <param name="height">Height of the result in pixels.</param>
    /// <param name="width">Width of the result in pixels.</param>
    /// <param name="background">Values of the background, from <see cref="Background"/>.</param>
    public static ImageResizer OfWholeImages(int height, int width, ImmutableArray<byte> background) =>
        new(new CenterCrop(height, width, height, width), null, Anchor.Center, background);

    /// <summary>Returns the values of a background colour in the planes of a network: red, green and blue, or their grey value with the weights of ML.NET's ConvertToGrayscale. Its alpha value is not used.</summary>
    /// <param name="colour">The colour.</param>
    /// <param name="channels">Number of channels of the network, 1 or 3.</param>
    public static ImmutableArray<byte> Background(Color colour, int channels) =>
        channels == 3
            ? [colour.R, colour.G, colour.B]
            : [(byte)MathF.Round(RedWeight * colour.R + GreenWeight * colour.G + BlueWeight * colour.B)];

    /// <summary>Gets the colour type of ML.NET's images; null for a pixel format that is not read.</summary>
    public static SKColorType? ColourTypeOf(MLPixelFormat format) => format switch
    {
        MLPixelFormat.Rgba32 => SKColorType.Rgba8888,
        MLPixelFormat.Bgra32 => SKColorType.Bgra8888,
        _ => null,
    };

    /// <summary>Resizes an image.</summary>
    /// <param name="image">The image, whose pixel format is Rgba32 or Bgra32.</param>
    /// <param name="planes">Receives the planes.</param>
    /// <exception cref="ImageException">The pixel format is another one.</exception>
    public unsafe void Resize(MLImage image, Span<byte> planes)
    {
        var type = ColourTypeOf(image.PixelFormat) ?? throw new ImageException($"its pixel format is {image.PixelFormat}; it must be Rgba32 or Bgra32");
        fixed (byte* pixels = image.Pixels)
        {
            // ML.NET's images are premultiplied or opaque, and opaque pixels give the same result as either.
            using var pixmap = new SKPixmap(new SKImageInfo(image.Width, image.Height, type, SKAlphaType.Premul), (nint)pixels);
            Resize(pixmap, planes);
        }
        GC.KeepAlive(image);
    }

    /// <summary>Resizes an image.</summary>
    /// <param name="image">The image, of the colour type Rgba8888 or Bgra8888 and not unpremultiplied, as <see cref="ImageDecoder"/> returns it.</param>
    /// <param name="planes">Receives the planes.</param>
    public void Resize(SKBitmap image, Span<byte> planes)
    {
        using var pixmap = image.PeekPixels();
        Resize(pixmap, planes);
    }

    /// <summary>Returns the rectangle of the network's input onto which an image is drawn; parts outside are cut off.</summary>
    /// <param name="width">Width of the image in pixels.</param>
    /// <param name="height">Height of the image in pixels.</param>
    public SKRect TargetOf(int width, int height)
    {
        var target = UncroppedTargetOf(width, height);
        target.Offset(-_crop.Left, -_crop.Top);
        return target;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _filled?.Dispose();
        _resized?.Dispose();
        _grey?.Dispose();
        _resizing.Dispose();
        _greying?.Dispose();
    }

    /// <summary>Returns the rectangle onto which an image is drawn before the middle is cut out.</summary>
    private SKRect UncroppedTargetOf(int width, int height)
    {
        if (_kind is null or ResizingKind.Fill || (width, height) == (_width, _height))
            return SKRect.Create(_width, _height);
        float horizontal = (float)_width / width, vertical = (float)_height / height;
        // IsoPad leaves space along one dimension; IsoCrop has a surplus, which is negative space, along the other one.
        bool isAlongWidth = (vertical < horizontal) == (_kind == ResizingKind.IsoPad);
        float scale = isAlongWidth ? vertical : horizontal;
        float space = isAlongWidth ? _width - width * scale : _height - height * scale;
        var (first, last) = isAlongWidth ? (Anchor.Left, Anchor.Right) : (Anchor.Top, Anchor.Bottom);
        var anchor = _kind == ResizingKind.IsoPad ? Anchor.Center : _anchor;
        int offset = anchor == first ? 0 : anchor == last ? (int)space : (int)(space / 2);
        return SKRect.Create(isAlongWidth ? offset : 0, isAlongWidth ? 0 : offset, (int)(width * scale), (int)(height * scale));
    }

    private void Resize(SKPixmap source, Span<byte> planes)
    {
        if (_crop.IsWhole)
        {
            ResizeUncropped(source, planes);
            return;
        }
        ResizeUncropped(source, _uncropped);
        _crop.Copy(_uncropped, planes);
    }

    private void ResizeUncropped(SKPixmap source, Span<byte> planes)
    {
        if ((source.Width, source.Height) == (_width, _height))
            Split(source, planes);
        else if (_kind == ResizingKind.Fill)
            Fill(source, planes);
        else
            Split((_resized ??= new Surface(_width, _height)).Draw(source, UncroppedTargetOf(source.Width, source.Height), _resizing), planes);
    }

    /// <summary>Stretches an image by nearest neighbours, in its own colour type.</summary>
    private void Fill(SKPixmap source, Span<byte> planes)
    {
        var info = source.Info.WithSize(_width, _height);
        if (_filled?.Info != info)
        {
            _filled?.Dispose();
            _filled = new SKBitmap(info);
        }
        using var target = _filled.PeekPixels();
        if (!source.ScalePixels(target, SKFilterQuality.None))
            throw new ImageException($"it cannot be resized from {source.Width} x {source.Height} to {_width} x {_height} pixels");
        Split(target, planes);
    }

    private void Split(SKPixmap pixmap, Span<byte> planes)
    {
        int length = _height * _width;
        pixmap = _grey?.Draw(pixmap, SKRect.Create(_width, _height), _greying!) ?? pixmap;
        var pixels = pixmap.GetPixelSpan();
        if (_grey is not null)
            PixelPlanes.CopyOne(pixels, 0, planes[..length]);
        else
            PixelPlanes.CopyColours(pixels, pixmap.ColorType == SKColorType.Bgra8888, planes);
        if (PixelPlanes.IsOpaque(pixels))
            return;
        _alpha ??= new byte[length];
        PixelPlanes.CopyAlpha(pixels, _alpha);
        for (int i = 0; i < _background.Length; i++)
            PixelPlanes.Compose(planes.Slice(i * length, length), _alpha, _background[i]);
    }

    /// <summary>An image that is drawn on, as ML.NET creates them: of the alpha type Opaque, but transparent at the start.</summary>
    private sealed class Surface : IDisposable
    {
        private readonly SKBitmap _bitmap;
        private readonly SKCanvas _canvas;
        private readonly SKPixmap _pixmap;

        public Surface(int width, int height)
        {
            _bitmap = new SKBitmap(width, height, isOpaque: true);
            _canvas = new SKCanvas(_bitmap);
            _pixmap = _bitmap.PeekPixels();
        }

        /// <summary>Clears this image and draws another one on it.</summary>
        /// <returns>The pixels of this image, valid until it is drawn on again.</returns>
        public unsafe SKPixmap Draw(SKPixmap source, SKRect target, SKPaint paint)
        {
            new Span<byte>((void*)_pixmap.GetPixels(), _pixmap.BytesSize).Clear();
            // The image refers to the pixels of the source; an image of a bitmap would copy them.
            using var image = SKImage.FromPixels(source);
            _canvas.DrawImage(image, SKRect.Create(source.Width, source.Height), target, paint);
            return _pixmap;
        }

        public void Dispose()
        {
            _canvas.Dispose();
            _pixmap.Dispose();
            _bitmap.Dispose();
        }
    }
}
