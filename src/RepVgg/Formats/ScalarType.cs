namespace RepVgg.Formats;

/// <summary>Types of stored values.</summary>
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
