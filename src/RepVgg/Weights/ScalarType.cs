namespace RepVgg.Weights;

/// <summary>The types of values in weights files.</summary>
internal enum ScalarType
{
    Float32,
    Float16,
    BFloat16,
    Float64,
    Int64,
    Int32,
    Int16,
    Int8,
    UInt8,
    Bool,
}
