namespace Microsoft.ML.RepVgg;

/// <summary>The views of an image that a classifier scores. The result is the mean of their probabilities, not of their logits.</summary>
/// <remarks>
/// Each view takes the time of an image, so that scoring takes as many times as long. The crops have the size of the network's input and are cut from the image at 8/7 of that size, or at the size of <see cref="RepVggImageOptions.CropFraction"/>,
/// 256 for 224 pixels, rounded up; the image is resized to it as the options say. Source of the crops: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012, section 4.1.
/// </remarks>
public enum TestTimeAugmentation
{
    /// <summary>The image alone.</summary>
    None,

    /// <summary>2 views: the image, and the image mirrored left to right.</summary>
    HorizontalFlip,

    /// <summary>5 views: crops at the four corners and at the centre. For columns of images, not of vectors.</summary>
    FiveCrop,

    /// <summary>10 views: the five crops, and each of them mirrored left to right. For columns of images, not of vectors.</summary>
    TenCrop,
}
