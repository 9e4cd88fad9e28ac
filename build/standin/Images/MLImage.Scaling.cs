using Microsoft.ML.Standin.Images;

namespace Microsoft.ML.Data;

public sealed partial class MLImage
{
    /// <summary>A new image of the given size. Sizes and offsets are truncated as in ML.NET, in single precision.</summary>
    internal MLImage CloneWithResizing(int width, int height, ImageResizeMode mode)
    {
        if (mode == ImageResizeMode.Fill)
            return new MLImage(width, height, _format, _opaque, ImageResampler.Nearest(Bytes(), _width, _height, width, height));

        float across = (float)width / _width, down = (float)height / _height;
        bool pad = mode == ImageResizeMode.Pad;
        // Padding takes the smaller scale, so that all fits; cropping the larger one, so that all is covered.
        bool byHeight = pad == down < across;
        float scale = byHeight ? down : across;
        int left = 0, top = 0;
        if (byHeight)
        {
            float room = width - _width * scale;
            left = mode switch { ImageResizeMode.CropAnchorLeft => 0, ImageResizeMode.CropAnchorRight => (int)room, _ => (int)(room / 2) };
        }
        else
        {
            float room = height - _height * scale;
            top = mode switch { ImageResizeMode.CropAnchorTop => 0, ImageResizeMode.CropAnchorBottom => (int)room, _ => (int)(room / 2) };
        }
        int scaledWidth = (int)(_width * scale), scaledHeight = (int)(_height * scale);
        byte[] pixels = scaledWidth > 0 && scaledHeight > 0
            ? ImageResampler.Smooth(Bgra(), _width, _height, scaledWidth, scaledHeight, left, top, width, height)
            : new byte[4 * width * height];
        return new MLImage(width, height, MLPixelFormat.Bgra32, opaque: true, pixels);
    }

    /// <summary>A gray copy: 0.3 red + 0.59 green + 0.11 blue, on black where the image is transparent.</summary>
    internal MLImage CloneWithGrayscale()
    {
        byte[] pixels = Bgra().ToArray();
        for (int i = 0; i < pixels.Length; i += 4)
        {
            byte light = (byte)(0.3f * pixels[i + 2] + 0.59f * pixels[i + 1] + 0.11f * pixels[i] + 0.5f);
            pixels.AsSpan(i, 3).Fill(light);
            pixels[i + 3] = 255;
        }
        return new MLImage(_width, _height, MLPixelFormat.Bgra32, opaque: true, pixels);
    }
}
